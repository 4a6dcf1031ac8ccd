package import Architecture
package import TensorCore

/// A `.vtwm` file that was checked from end to end, as values over its mapping.
///
/// The order of the checks is that of `formats/vtwm.md`.  Weights themselves are read only by
/// `verify`; whatever they hold, every address made from this value lies inside the mapping.
package struct VTWMFile: Sendable {
  package let path: String
  package let byteCount: Int
  /// 64 hexadecimal digits: equal for equal models, whatever compressor and provenance.
  package let contentID: String
  package let sections: [SectionInfo]

  package let configuration: ModelConfiguration
  /// Nil only for text-only models.
  package let imageSteps: ImageSteps?
  package let tokenizer: TokenizerModel
  package let template: PromptTemplate
  package let schedule: TokenSchedule
  package let keyValuePrecision: KeyValuePrecision
  /// One per decoder layer.
  package let layers: [LayerRecord]
  package let calibration: JSONValue?
  package let provenance: JSONValue?

  /// All bytes of the file.
  package let region: ByteRegion
  let source: OpenFile
  package let tensors: TensorTable
  /// In the order of the file.
  package let tensorInfos: [TensorInfo]
  /// In execution order.
  package let groups: [TensorGroup]

  /// Opens and checks the file at `path`.
  ///
  /// - Parameter mapping: false reads the file into memory instead, so that later changes of the
  ///   file cannot be noticed.
  package init(opening path: String, mapping: Bool = true) throws(InputError) {
    try self.init(checking: try OpenFile(path), mapping: mapping)
  }

  /// Whether the file at `path` begins as every `.vtwm` file does.
  package static func hasMagic(_ path: String) -> Bool {
    guard let file = try? OpenFile(path), file.byteCount >= VTWMLayout.magic.count,
      let start = try? file.read(at: 0, count: VTWMLayout.magic.count)
    else { return false }
    return start == VTWMLayout.magic
  }

  init(checking file: OpenFile, mapping: Bool) throws(InputError) {
    let path = file.path
    guard file.byteCount > 0 else { throw InputError(path, "is empty") }
    guard file.byteCount >= VTWMLayout.headerSize, file.byteCount <= VTWMLimits.fileSize else {
      throw InputError(
        path,
        "has \(file.byteCount) bytes; a .vtwm file has \(VTWMLayout.headerSize)..."
          + "\(VTWMLimits.fileSize)")
    }
    let header = try FileHeader(
      decoding: try file.read(at: 0, count: VTWMLayout.headerSize), file: path,
      size: file.byteCount)
    let sections = try SectionInfo.table(
      decoding: try file.read(at: VTWMLayout.headerSize, count: header.tableSize), header: header,
      file: path)
    try Self.checkPadding(of: sections, header: header, in: file)
    guard SectionInfo.contentID(sections) == header.contentID else {
      throw InputError(path, "header: the content id does not fit the section table")
    }
    for section in sections where section.type.content == nil {
      try Self.checkUnknown(section, in: file)
    }
    let weights = try Self.weights(sections, file: path)

    /// The raw bytes of a section, or nil if it is not there.
    func raw(_ type: SectionType) throws(InputError) -> [UInt8]? {
      guard let section = sections.first(where: { $0.type == type }) else { return nil }
      return try section.raw(file.read(at: section.offset, count: section.storedSize), file: path)
    }
    func required(_ type: SectionType) throws(InputError) -> [UInt8] {
      guard let bytes = try raw(type) else { throw InputError(path, "section \(type) is missing") }
      return bytes
    }

    configuration = try ModelCodec.decode(try required(.model), file: path)
    tensorInfos = try TensorDirectory.decode(
      try required(.tensorDirectory), configuration: configuration, header: header,
      weights: weights, file: path)
    let plan = try PlanCodec.decode(
      try required(.plan), configuration: configuration,
      needsFrozenRows: header.need & VTWMLayout.Need.frozenRows != 0, file: path)
    schedule = plan.schedule
    keyValuePrecision = plan.precision
    layers = try LayerTable.decode(
      try required(.layers), configuration: configuration, plan: plan, file: path)
    if let bytes = try raw(.imageSteps) {
      imageSteps = try ImageStepsCodec.decode(bytes, configuration: configuration, file: path)
    } else if configuration.vision == nil {
      imageSteps = nil
    } else {
      throw InputError(path, "section IPRE is missing, but the model has a vision tower")
    }
    tokenizer = try TokenizerCodec.decode(
      try required(.tokenizer), configuration: configuration, file: path)
    if let bytes = try raw(.template) {
      template = try TemplateCodec.decode(bytes, configuration: configuration, file: path)
    } else {
      template = TemplateCodec.plain
    }
    calibration = try raw(.calibration).map { bytes throws(InputError) in
      try JSONFields(parsing: bytes, section: .calibration, file: path).value
    }
    provenance = try raw(.provenance).map { bytes throws(InputError) in
      try JSONFields(parsing: bytes, section: .provenance, file: path).value
    }

    self.path = path
    source = file
    byteCount = file.byteCount
    contentID = hexadecimal(header.contentID)
    self.sections = sections
    region =
      mapping
      ? try ByteRegion(mapping: file.descriptor, byteCount: file.byteCount, name: path)
      : try ByteRegion(reading: file.descriptor, byteCount: file.byteCount, name: path)
    tensors = try Self.table(tensorInfos, in: region)
    groups = Self.groups(configuration, tensorInfos, weights)
  }

  /// Everything between sections must be zero.
  private static func checkPadding(
    of sections: [SectionInfo], header: FileHeader, in file: OpenFile
  ) throws(InputError) {
    var end = VTWMLayout.headerSize + header.tableSize
    for section in sections {
      let padding = try file.read(at: end, count: section.offset - end)
      if let place = padding.firstIndex(where: { $0 != 0 }) {
        throw InputError(file.path, "byte \(end + place) is padding, but not zero")
      }
      end = section.byteRange.upperBound
    }
  }

  /// Sections of later versions are skipped, but must be whole.
  private static func checkUnknown(
    _ section: SectionInfo, in file: OpenFile
  ) throws(InputError) {
    var checksum = CRC32()
    var offset = section.offset
    while offset < section.byteRange.upperBound {
      let count = min(1 << 20, section.byteRange.upperBound - offset)
      checksum.update(try file.read(at: offset, count: count))
      offset += count
    }
    try section.check(checksum.value, file: file.path)
  }

  /// The weight sections, which must be numbered from 0 in the order of the file.
  private static func weights(
    _ sections: [SectionInfo], file: String
  ) throws(InputError) -> [SectionInfo] {
    let weights = sections.filter { $0.type == .weights }
    for (index, section) in weights.enumerated() where section.instance != index {
      throw InputError(file, "\(section.name) stands where section WGTS \(index) must")
    }
    return weights
  }

  private static func table(
    _ infos: [TensorInfo], in region: ByteRegion
  ) throws(InputError) -> TensorTable {
    var table = TensorTable()
    for info in infos {
      guard
        let view = TensorView(
          region, offset: info.byteRange.lowerBound, shape: info.shape, encoding: info.encoding)
      else {
        throw InputError(
          region.name, "tensor '\(info.key)' cannot lie at byte \(info.byteRange.lowerBound)")
      }
      table[info.key] = view
    }
    return table
  }

  private static func groups(
    _ configuration: ModelConfiguration, _ infos: [TensorInfo], _ weights: [SectionInfo]
  ) -> [TensorGroup] {
    weights.enumerated().map { index, section in
      TensorGroup(
        kind: TensorGroup.kind(at: index, of: configuration), byteRange: section.byteRange,
        keys: infos.filter { section.byteRange.contains($0.byteRange.lowerBound) }.map(\.key))
    }
  }
}

extension SectionInfo {
  /// Turns the stored bytes into the raw ones.
  func raw(_ stored: [UInt8], file: String) throws(InputError) -> [UInt8] {
    try check(CRC32(of: stored).value, file: file)
    switch codec {
    case .stored: return stored
    case .zlib:
      guard let raw = ZlibStream.inflate(stored, rawSize: rawSize) else {
        throw InputError(file, "\(name): is not a zlib stream of exactly \(rawSize) bytes")
      }
      return raw
    }
  }

  func check(_ found: UInt32, file: String) throws(InputError) {
    guard found == crc else {
      throw InputError(file, "\(name): checksum is wrong; the file is damaged")
    }
  }
}
