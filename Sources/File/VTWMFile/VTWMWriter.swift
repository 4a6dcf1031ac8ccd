package import Architecture
import Glibc
package import TensorCore

/// What a file says besides weights and schedule: known before the first weight is written.
package struct VTWMContents: Equatable, Sendable {
  package var configuration: ModelConfiguration
  /// Needed unless the model is text-only.
  package var imageSteps: ImageSteps?
  package var tokenizer: TokenizerModel
  package var template: PromptTemplate

  package init(
    configuration: ModelConfiguration, imageSteps: ImageSteps?, tokenizer: TokenizerModel,
    template: PromptTemplate
  ) {
    self.configuration = configuration
    self.imageSteps = imageSteps
    self.tokenizer = tokenizer
    self.template = template
  }

  /// What `file` says besides weights and schedule.
  package init(_ file: VTWMFile) {
    self.init(
      configuration: file.configuration, imageSteps: file.imageSteps, tokenizer: file.tokenizer,
      template: file.template)
  }
}

/// Writes a `.vtwm` file: first the weights in `order`, then `seal` adds what calibration found.
///
/// Nothing has the name `path` before `seal` returns, and nothing is left if it never does.
/// Weights go to their final place, so they can be mapped and run before the file is sealed:
/// the sections in front of them have room kept for a plan of any likely size.
package final class VTWMWriter {
  /// Room kept in front of the weights.
  package struct FrontRoom {
    /// Log2 of the first weight section's alignment, at least; 12 is a page.
    package var alignment: UInt8
    /// Bytes for the plan, at least.
    package var planBytes: Int

    /// 64 KiB: large pages of any system start with the weights, and a new plan nearly always fits.
    package init(alignment: UInt8 = 16, planBytes: Int = 16 << 10) {
      self.alignment = alignment
      self.planBytes = planBytes
    }

    /// At least as much as a plan takes whose profiles have these names and two segments each.
    package init(profileNames: [String]) {
      typealias Size = VTWMLayout.PlanRecordSize
      self.init()
      let profiles = profileNames.reduce(0) {
        $0 + Size.variant + 2 * Size.segment + $1.utf8.count
      }
      // Twice: a later plan with more profiles shall fit too.
      planBytes = max(planBytes, 2 * profiles + 1024)
    }
  }

  /// Makes a file that another run can go on with, should this one be killed.
  package struct Keeping {
    /// What the weights are made of; it must be equal for a run to go on.
    package var source: JSONValue
    /// Whether to go on with what is there, if something is.
    package var resumes: Bool

    package init(source: JSONValue, resumes: Bool) {
      self.source = source
      self.resumes = resumes
    }
  }

  /// Tensors that were finished by an earlier run, which come first in `order`, and what it noted of
  /// each.
  package private(set) var finished: [(key: TensorKey, note: JSONValue)] = []

  /// Every tensor of the model, in the order in which it must be written.
  package let order: [TensorKey]
  /// Bytes of the file up to the calibration record and the provenance.
  package let byteCount: Int

  private let file: PendingFile
  private var journal: PackJournal?
  private let contents: VTWMContents
  private let layout: WeightLayout
  private var records: [TensorDirectory.Record]
  private let frontAlignment: UInt8
  private let groupStarts: [Int]
  private let weightsEnd: Int
  private let model: [UInt8]
  private let imageSteps: [UInt8]?
  private let tokenizer: Payload
  private let template: Payload

  // Bytes that are left to the system's own pace: small against any disk's cache.
  private static let writebackBytes = 16 << 20

  // Progress
  private var tensorIndex = 0
  private var writtenBack = 0
  private var open: (written: Int, checksum: CRC32)?
  private var groupDigests: [(digest: [UInt8], crc: UInt32)] = []
  private var digest = SHA256Digest()
  private var checksum = CRC32()

  /// Checks everything that will be written, takes the room on the disk and starts the file.
  ///
  /// - Parameters:
  ///   - encodings: by tensor; one that is not named is f32, as every vector must be.
  ///   - sourceTypes: number types of the source ("BF16", "Q4_K"), as GGUF names them.
  ///   - overwrite: whether an existing .vtwm file may be replaced; other files never are.
  ///   - inputs: paths that the output must not be, or be a link of.
  ///   - keeping: nil for a file that vanishes with its process.
  package init(
    path: String, contents: VTWMContents, encodings: [TensorKey: Encoding],
    sourceTypes: [TensorKey: String] = [:], overwrite: Bool = false, inputs: [String] = [],
    room: FrontRoom = FrontRoom(), keeping: Keeping? = nil
  ) throws(InputError) {
    let configuration = contents.configuration
    // What a reader would refuse is not written: each part is read back at once.
    model = ModelCodec.encode(configuration, template: contents.template)
    _ = try ModelCodec.decode(model, file: path)
    imageSteps = contents.imageSteps.map(ImageStepsCodec.encode)
    if let imageSteps {
      _ = try ImageStepsCodec.decode(imageSteps, configuration: configuration, file: path)
    } else if configuration.vision != nil {
      throw InputError(path, "a model with a vision tower needs image steps")
    }
    let tokenizerBytes = TokenizerCodec.encode(contents.tokenizer)
    _ = try TokenizerCodec.decode(tokenizerBytes, configuration: configuration, file: path)
    tokenizer = Payload(.tokenizer, tokenizerBytes, codec: .zlib)
    let templateBytes = TemplateCodec.encode(contents.template)
    _ = try TemplateCodec.decode(templateBytes, configuration: configuration, file: path)
    template = Payload(.template, templateBytes, codec: .zlib)

    guard
      let layout = WeightLayout(
        configuration, alignment: VTWMLayout.tensorAlignment,
        encoding: { encodings[$0.key] ?? .f32 })
    else { throw InputError(path, "the weights' size overflows") }
    for tensor in layout.tensors where tensor.specification.kind == .vector {
      precondition(
        tensor.layout.encoding == .f32,
        "\(tensor.key) is a vector, but asked for in"
          + " \(tensor.layout.encoding.name)")
    }
    records = layout.tensors.map { tensor in
      TensorDirectory.Record(
        sourceType: SourceType.code(sourceTypes[tensor.key] ?? SourceType.unknown))
    }
    frontAlignment = try Self.frontAlignment(
      fixed: [
        model.count, TensorDirectory.encode(layout, records).count,
        VTWMLayout.layerTableHeaderSize
          + configuration.text.layerCount * VTWMLayout.layerEntrySize,
        imageSteps?.count ?? 0,
      ],
      groups: layout.groupSizes.count, room: room, path: path)

    var starts: [Int] = []
    var end = 1 << Int(frontAlignment)
    for size in layout.groupSizes {
      guard let start = roundedUp(end, to: VTWMLayout.pageSize), let next = checkedSum(start, size)
      else { throw InputError(path, "the weights' size overflows") }
      starts.append(start)
      end = next
    }
    guard end <= VTWMLimits.fileSize - VTWMLimits.sectionSize else {
      throw InputError(path, "\(end) bytes are more than a .vtwm file can have")
    }
    groupStarts = starts
    weightsEnd = end
    byteCount = template.end(after: tokenizer.end(after: end))
    order = layout.tensors.map(\.key)
    self.contents = contents
    self.layout = layout
    if let keeping {
      file = try PendingFile(
        partial: path, overwrite: overwrite, inputs: inputs, resumes: keeping.resumes)
    } else {
      file = try PendingFile(path, overwrite: overwrite, inputs: inputs)
    }
    do throws(InputError) {
      if let keeping { try startJournal(keeping) }
      try file.reserve(byteCount)
    } catch {
      if !file.isKept { removeJournal() }
      throw error
    }
    file.isKept = false
  }

  deinit { if !file.isKept { removeJournal() } }

  // MARK: Partial files

  private var journalPath: String { PendingFile.partialPath(for: file.path) + ".journal" }

  private func removeJournal() {
    guard journal != nil else { return }
    unsafe unlink(journalPath)
    journal = nil
  }

  /// What a partial file must be of to be gone on with.
  private func setup(_ source: JSONValue) -> JSONValue {
    var digest = SHA256Digest()
    for part in [
      model, imageSteps ?? [], tokenizer.raw, template.raw,
      TensorDirectory.encode(layout, records),
    ] {
      digest.update(Array("\(part.count) ".utf8) + part)
    }
    digest.update(Array("\(groupStarts)".utf8))
    return ["journal": 1, "source": source, "model": .string(hexadecimal(digest.finish()))]
  }

  /// Starts the journal, or takes over what an earlier one tells of.
  private func startJournal(_ keeping: Keeping) throws(InputError) {
    let setup = setup(keeping.source)
    var kept: [PackJournal.Entry] = []
    if file.isResumed {
      let earlier = try PackJournal.read(journalPath)
      guard earlier.setup == setup else {
        throw InputError(
          PendingFile.partialPath(for: file.path),
          "is of \(Self.difference(earlier.setup, setup)); leave --resume out to start anew")
      }
      for entry in earlier.entries.prefix(order.count) {
        guard entry.tensor == order[tensorIndex].description, takeOver(entry) else { break }
        kept.append(entry)
      }
      try clearPadding()
    }
    journal = try PackJournal(journalPath, setup: setup, entries: kept)
  }

  /// Puts zeros everywhere but into the tensors that were taken over: nobody knows what happened to a
  /// file that lay about.
  private func clearPadding() throws(InputError) {
    var end = 0
    for tensor in layout.tensors.prefix(tensorIndex) {
      let start = groupStarts[tensor.group] + tensor.range.lowerBound
      try file.write([UInt8](repeating: 0, count: start - end), at: end)
      end = start + tensor.range.count
    }
    try file.cut(at: end)
  }

  private static func difference(_ found: JSONValue, _ wanted: JSONValue) -> String {
    let members = wanted["source"]?.objectValue?.members ?? []
    for member in members where found["source"]?[member.key] != member.value {
      let was = found["source"]?[member.key]?.text ?? "missing"
      return "another source: \(member.key) was \(printable(was, limit: 200)), and is now "
        + printable(member.value.text, limit: 200)
    }
    return "another model, or was packed with other options"
  }

  /// Takes over the next tensor, which an earlier run wrote; false if its bytes are not those.
  private func takeOver(_ entry: PackJournal.Entry) -> Bool {
    let tensor = layout.tensors[tensorIndex]
    let start = groupStarts[tensor.group] + tensor.range.lowerBound
    var crc = CRC32(), copy = digest
    let isWhole = file.read(start..<start + tensor.range.count) { bytes in
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe crc.update(bytes)
        unsafe copy.update(bytes)
      }
    }
    guard isWhole, crc.value == entry.crc else { return false }
    digest = copy
    finish(crc, sourceCRC: entry.sourceCRC)
    finished.append((tensor.key, entry.note))
    return true
  }

  /// Leaves what is written for another run to go on with, should this writer end unsealed.
  package func keep() { if journal != nil { file.isKept = true } }

  /// The smallest alignment that leaves the plan its room after the other sections in front.
  private static func frontAlignment(
    fixed: [Int], groups: Int, room: FrontRoom, path: String
  ) throws(InputError) -> UInt8 {
    // MODL TDIR LAYR PLAN IPRE, the weights, TOKN cHAt cALB pROV.
    let table = (5 + groups + 4) * VTWMLayout.sectionEntrySize
    let padding = 8 * fixed.count
    let size = fixed.reduce(VTWMLayout.headerSize + table + padding + room.planBytes, +)
    for alignment in room.alignment...VTWMLimits.alignments.upperBound
    where 1 << Int(alignment) >= size {
      return alignment
    }
    throw InputError(
      path,
      "the sections in front of the weights take \(size) bytes; at most"
        + " \(1 << Int(VTWMLimits.alignments.upperBound)) fit")
  }

  /// A temporary file's path while there is one: what a signal handler must unlink.
  package var pendingPath: String? { journal == nil ? file.temporaryPath : nil }

  /// The path of a file that another run can go on with; nil unless this is one.
  package var partialPath: String? { journal == nil ? nil : file.temporaryPath }

  // MARK: Weights

  /// Starts the next tensor, which must be `key`.
  package func begin(_ key: TensorKey) {
    precondition(open == nil, "a tensor is still open")
    precondition(
      tensorIndex < order.count && order[tensorIndex] == key,
      "\(key) is not the next tensor, \(tensorIndex) of \(order.count)")
    open = (0, CRC32())
  }

  /// Appends the next bytes of the open tensor, in its packed layout.
  @unsafe package func append(_ bytes: UnsafeRawBufferPointer) throws(InputError) {
    guard var state = open else { preconditionFailure("no tensor is open") }
    let tensor = layout.tensors[tensorIndex]
    precondition(
      bytes.count <= tensor.range.count - state.written,
      "\(tensor.key) has \(tensor.range.count) bytes; \(state.written + bytes.count) came")
    let start = groupStarts[tensor.group] + tensor.range.lowerBound + state.written
    try unsafe file.write(bytes, at: start)
    let end = start + bytes.count
    if end - writtenBack >= Self.writebackBytes {
      file.startWriteback(writtenBack..<end)
      writtenBack = end
    }
    unsafe state.checksum.update(bytes)
    unsafe digest.update(bytes)
    state.written += bytes.count
    open = state
  }

  package func append(_ bytes: [UInt8]) throws(InputError) {
    try append(unsafe bytes.span.bytes)
  }

  package func append(_ bytes: RawSpan) throws(InputError) {
    try unsafe bytes.withUnsafeBytes { (bytes) throws(InputError) in try unsafe append(bytes) }
  }

  /// Ends the open tensor, all of whose bytes were appended.
  ///
  /// - Parameters:
  ///   - sourceCRC: CRC-32 of the bytes that it was made from.
  ///   - note: what a run that goes on after this one shall find in `finished`.
  package func end(sourceCRC: UInt32 = 0, note: JSONValue = .null) throws(InputError) {
    guard let state = open else { preconditionFailure("no tensor is open") }
    let tensor = layout.tensors[tensorIndex]
    precondition(
      state.written == tensor.range.count,
      "\(tensor.key) has \(tensor.range.count) bytes; \(state.written) came")
    open = nil
    finish(state.checksum, sourceCRC: sourceCRC)
    try journal?.add(
      PackJournal.Entry(
        tensor: tensor.key.description, crc: state.checksum.value, sourceCRC: sourceCRC,
        note: note))
  }

  /// Enters the next tensor, whose bytes are in the file and in `digest`.
  private func finish(_ crc: CRC32, sourceCRC: UInt32) {
    let tensor = layout.tensors[tensorIndex]
    records[tensorIndex].crc = crc.value
    records[tensorIndex].sourceCRC = sourceCRC
    checksum.append(crc.value, count: tensor.range.count)
    tensorIndex += 1

    // Between two tensors of a group lie zeros, which the file has already.
    let isLast = tensorIndex == order.count || layout.tensors[tensorIndex].group != tensor.group
    if isLast {
      groupDigests.append((digest.finish(), checksum.value))
      digest = SHA256Digest()
      checksum = CRC32()
    } else {
      let padding = [UInt8](
        repeating: 0, count: layout.tensors[tensorIndex].range.lowerBound - tensor.range.upperBound)
      digest.update(padding)
      checksum.append(CRC32(of: padding).value, count: padding.count)
    }
  }

  /// Takes over all weights of `other`, a file of the same model in the same encodings.
  ///
  /// They are read once to be checked, and copied by the system, which shares their blocks where it
  /// can.
  package func copyWeights(from other: VTWMFile) throws(InputError) {
    precondition(tensorIndex == 0 && open == nil, "weights are written already")
    for (info, tensor) in zip(other.tensorInfos, layout.tensors) {
      precondition(
        tensor.key == info.key && tensor.layout.encoding == info.encoding,
        "\(info.key) is \(info.encoding.name) in the source, \(tensor.key) comes next")
      let bytes = unsafe UnsafeRawBufferPointer(
        start: other.region.address(at: info.byteRange.lowerBound), count: info.byteRange.count)
      var checksum = CRC32()
      unsafe checksum.update(bytes)
      guard checksum.value == info.crc else {
        throw InputError(
          other.path, "tensor '\(info.key)': checksum is wrong; the file is damaged")
      }
    }
    records = other.tensorInfos.map { info in
      TensorDirectory.Record(
        crc: info.crc, sourceCRC: info.sourceCRC, sourceType: SourceType.code(info.sourceType))
    }
    let sections = other.sections.filter { $0.type == .weights }
    for (group, section) in sections.enumerated() {
      // Up to the next page, whose zeros both files have: only whole blocks can be shared.
      let isLast = group + 1 == sections.count
      let padded = roundedUp(section.storedSize, to: VTWMLayout.pageSize) ?? section.storedSize
      let size = isLast ? section.storedSize : padded
      try file.copy(
        section.offset..<section.offset + size, of: other, to: groupStarts[group])
    }
    groupDigests = sections.map { ($0.sha256, $0.crc) }
    tensorIndex = order.count
  }

  /// The weights as they will be mapped, once all of them are written.
  package func mapTensors() throws(InputError) -> TensorTable {
    precondition(tensorIndex == order.count, "\(tensorIndex) of \(order.count) tensors are written")
    let region = try ByteRegion(
      mapping: file.descriptor, byteCount: weightsEnd, name: file.path)
    var table = TensorTable()
    for tensor in layout.tensors {
      let offset = groupStarts[tensor.group] + tensor.range.lowerBound
      table[tensor.key] = TensorView(
        region, offset: offset, shape: tensor.specification.shape,
        encoding: tensor.layout.encoding)
    }
    return table
  }

  /// What `VTWMFile.modelID` will say of the file, once all weights are written.
  package func modelID(_ precision: KeyValuePrecision) -> String {
    precondition(tensorIndex == order.count, "\(tensorIndex) of \(order.count) tensors are written")
    return contents.modelID(weights: groupDigests.map(\.digest), precision)
  }

  // MARK: Seal

  /// Writes everything else, checks the file as a reader would, and gives it its name.
  ///
  /// - Parameters:
  ///   - layerKL: per layer, the divergence of withdrawing before it, where measured.
  ///   - calibration, provenance: objects for people and tools; nothing that runs depends on them.
  package func seal(
    schedule: TokenSchedule, layerKL: [Float?] = [], calibration: JSONValue? = nil,
    provenance: JSONValue? = nil, keyValuePrecision: KeyValuePrecision = .f32
  ) throws(InputError) {
    precondition(tensorIndex == order.count, "\(tensorIndex) of \(order.count) tensors are written")
    let configuration = contents.configuration
    let plan = ExecutionPlan(schedule, precision: keyValuePrecision)
    let planBytes = try encode(plan)
    let layers = LayerTable.encode(LayerTable.records(configuration, plan, kl: layerKL))

    var front = [
      Payload(.model, model), Payload(.tensorDirectory, TensorDirectory.encode(layout, records)),
      Payload(.layers, layers), Payload(.plan, planBytes),
    ]
    if let imageSteps { front.append(Payload(.imageSteps, imageSteps)) }
    var tail = [tokenizer, template]
    for (type, value) in [(SectionType.calibration, calibration), (.provenance, provenance)] {
      guard let value else { continue }
      tail.append(Payload(type, value.canonicalBytes, codec: .zlib))
    }

    let count = front.count + groupStarts.count + tail.count
    let sections = try place(
      front, tail, from: VTWMLayout.headerSize + count * VTWMLayout.sectionEntrySize)
    let size = sections.last?.byteRange.upperBound ?? weightsEnd
    try file.reserve(size)
    for (section, payload) in zip(sections.filter { $0.type != .weights }, front + tail) {
      try file.write(payload.stored, at: section.offset)
    }
    var table = ByteWriter()
    for section in sections { section.encode(to: &table) }
    try file.write(table.bytes, at: VTWMLayout.headerSize)
    let header = FileHeader(
      fileSize: size, need: plan.freezesRows ? VTWMLayout.Need.frozenRows : 0,
      sectionCount: count, contentID: SectionInfo.contentID(sections),
      tableCRC: CRC32(of: table.bytes).value)
    try file.write(header.encoded, at: 0)
    _ = try VTWMFile(
      checking: try OpenFile(
        duplicating: file.descriptor, byteCount: size, path: file.path), mapping: true)
    try file.commit()
    removeJournal()
  }

  private func encode(_ plan: ExecutionPlan) throws(InputError) -> [UInt8] {
    let schedule = plan.schedule
    guard schedule.profiles.indices.contains(schedule.defaultProfile) else {
      throw InputError(
        file.path,
        "the default profile is number \(schedule.defaultProfile) of"
          + " \(schedule.profiles.count)")
    }
    let bytes = PlanCodec.encode(plan, configuration: contents.configuration)
    _ = try PlanCodec.decode(
      bytes, configuration: contents.configuration, needsFrozenRows: plan.freezesRows,
      file: file.path)
    return bytes
  }

  /// Finds every section's place; the weights have theirs already.
  private func place(
    _ front: [Payload], _ tail: [Payload], from start: Int
  ) throws(InputError) -> [SectionInfo] {
    var sections: [SectionInfo] = []
    var end = start
    func add(_ payloads: [Payload]) {
      for payload in payloads {
        sections.append(payload.section(after: end))
        end = payload.end(after: end)
      }
    }
    add(front)
    guard end <= groupStarts.first ?? end else {
      throw InputError(
        file.path,
        "the plan takes \(end - (groupStarts.first ?? end)) bytes more than there is"
          + " room for; use fewer profiles")
    }
    for (group, (digest, crc)) in groupDigests.enumerated() {
      let size = layout.groupSizes[group]
      sections.append(
        SectionInfo(
          type: .weights, instance: UInt16(group), codec: .stored, content: .bytes,
          offset: groupStarts[group], storedSize: size, rawSize: size, crc: crc,
          alignment: group == 0
            ? frontAlignment : UInt8(VTWMLayout.pageSize.trailingZeroBitCount),
          sha256: digest))
    }
    end = weightsEnd
    add(tail)
    return sections
  }
}

/// The bytes of a metadata section, raw and as stored.
private struct Payload {
  let type: SectionType
  let codec: SectionInfo.Codec
  let raw: [UInt8]
  let stored: [UInt8]

  init(_ type: SectionType, _ raw: [UInt8], codec: SectionInfo.Codec = .stored) {
    self.type = type
    self.codec = codec
    self.raw = raw
    stored = codec == .zlib ? ZlibStream.deflate(raw) : raw
  }

  /// Where the section starts that follows one ending at `end`, and where it ends.
  private func start(after end: Int) -> Int {
    let mask = 1 << Int(VTWMLayout.metadataAlignment) - 1
    return (end + mask) & ~mask
  }

  func end(after end: Int) -> Int { start(after: end) + stored.count }

  func section(after end: Int) -> SectionInfo {
    SectionInfo(
      type: type, instance: 0, codec: codec, content: type.content ?? .bytes,
      offset: start(after: end), storedSize: stored.count, rawSize: raw.count,
      crc: CRC32(of: stored).value,
      alignment: VTWMLayout.metadataAlignment, sha256: SHA256Digest.of(raw))
  }
}
