import Architecture
import TensorCore

/// How the rows of the key/value cache are stored.  Raw values are file constants.
package enum KeyValuePrecision: UInt8, CaseIterable, Sendable {
  case f32 = 0
  case f16 = 1

  package var byteCount: Int { self == .f32 ? 4 : 2 }
}

/// Section PLAN as a value: the schedule and what its caches take.
struct ExecutionPlan: Equatable {
  var schedule: TokenSchedule
  var precision: KeyValuePrecision
  /// The row classes of each kind of cache, in the order of the file.
  var keyValueClasses: [ClassMask]

  init(_ schedule: TokenSchedule, precision: KeyValuePrecision) {
    self.schedule = schedule
    self.precision = precision
    keyValueClasses = []
    for segment in schedule.profiles.flatMap(\.segments)
    where !keyValueClasses.contains(segment.classes) {
      keyValueClasses.append(segment.classes)
    }
  }

  fileprivate init(
    _ schedule: TokenSchedule, precision: KeyValuePrecision, keyValueClasses: [ClassMask]
  ) {
    self.schedule = schedule
    self.precision = precision
    self.keyValueClasses = keyValueClasses
  }

  /// Whether a reader must be able to freeze rows.
  var freezesRows: Bool {
    schedule.profiles.contains { $0.freezesRows }
  }

  /// The default profile's classes in `layer`, and the place of their kind of cache.
  func layer(_ layer: Int) -> (classes: ClassMask, keyValueClass: Int) {
    let classes = schedule.profiles[schedule.defaultProfile].classes(in: layer)
    return (classes, keyValueClasses.firstIndex(of: classes) ?? 0)
  }
}

extension TokenClass {
  /// What the class table says of a class: 1 text, 2 visual, 4 generated.
  fileprivate var planKind: UInt32 {
    switch self {
    case .system, .user: 1
    case .visual: 2
    case .generated: 4
    }
  }

  /// The most rows of this class that a sequence of the model can have.
  fileprivate func maximumRows(_ configuration: ModelConfiguration) -> Int {
    self == .visual && configuration.vision == nil ? 0 : configuration.text.contextLength
  }
}

/// Section PLAN: token classes, caches, profiles with their segments, and the table eta -> K.
enum PlanCodec {
  private typealias RecordSize = VTWMLayout.PlanRecordSize

  static func encode(_ plan: ExecutionPlan, configuration: ModelConfiguration) -> [UInt8] {
    let schedule = plan.schedule
    let names = schedule.profiles.map { Array($0.name.utf8) }
    var writer = ByteWriter()
    writer.integer(UInt32(orMax: schedule.layerCount))
    writer.integer(UInt16(TokenClass.allCases.count))
    writer.integer(UInt16(orMax: plan.keyValueClasses.count))
    writer.integer(UInt16(orMax: schedule.profiles.count))
    writer.integer(UInt16(orMax: schedule.defaultProfile))
    writer.integer(UInt32(orMax: schedule.profiles.reduce(0) { $0 + $1.segments.count }))
    writer.integer(UInt32(orMax: schedule.candidates.count))
    for size in [
      RecordSize.tokenClass, RecordSize.keyValueClass, RecordSize.variant, RecordSize.segment,
      RecordSize.candidate, 0,
    ] { writer.integer(UInt16(size)) }
    writer.integer(UInt32(orMax: names.reduce(0) { $0 + $1.count }))
    writer.zeros(28)

    for tokenClass in TokenClass.allCases {
      let name = Array(tokenClass.name.utf8)
      writer.append(name)
      writer.zeros(VTWMLayout.classNameSize - name.count)
      writer.integer(UInt32(tokenClass.maximumRows(configuration)))
      writer.integer(tokenClass.planKind)
    }
    for mask in plan.keyValueClasses {
      let capacity = capacity(mask, configuration)
      writer.integer(mask.rawValue)
      writer.integer(UInt32(capacity))
      writer.integer(plan.precision.rawValue)
      writer.zeros(7)
      writer.integer(UInt64(bytesPerLayer(capacity, plan.precision, configuration)))
      writer.zeros(8)
    }
    encodeVariants(plan, names: names, configuration: configuration, to: &writer)
    for segment in schedule.profiles.flatMap(\.segments) {
      writer.integer(UInt16(orMax: segment.layers.lowerBound))
      writer.integer(UInt16(orMax: segment.layers.upperBound))
      writer.integer(segment.classes.rawValue)
      writer.integer(UInt16(orMax: plan.keyValueClasses.firstIndex(of: segment.classes) ?? 0))
      writer.integer(UInt16(0))
      writer.integer(segment.frozen.rawValue)
    }
    for candidate in schedule.candidates {
      for value in [candidate.eta, candidate.meanKL, candidate.maxKL, candidate.agreement] {
        writer.float(value)
      }
      writer.integer(UInt16(orMax: candidate.withdrawalLayer))
      writer.integer(UInt16(0))
      writer.integer(UInt32(orMax: candidate.sampleCount))
    }
    for name in names { writer.append(name) }
    return writer.bytes
  }

  private static func encodeVariants(
    _ plan: ExecutionPlan, names: [[UInt8]], configuration: ModelConfiguration,
    to writer: inout ByteWriter
  ) {
    let schedule = plan.schedule
    var firstSegment = 0
    var nameOffset = 0
    for (profile, name) in zip(schedule.profiles, names) {
      let ratios = profile.costRatios(configuration, textRows: VTWMLayout.referenceTextRows)
      writer.integer(UInt16(orMax: firstSegment))
      writer.integer(UInt16(orMax: profile.segments.count))
      writer.integer(UInt16(orMax: profile.withdrawalLayer))
      writer.integer(UInt8(0))
      writer.integer(UInt8(0))
      writer.float(Float(ratios.operations))
      writer.float(Float(ratios.keyValue))
      writer.integer(UInt32(orMax: nameOffset))
      writer.integer(UInt16(orMax: name.count))
      writer.zeros(10)
      firstSegment += profile.segments.count
      nameOffset += name.count
    }
  }

  private static func capacity(_ mask: ClassMask, _ configuration: ModelConfiguration) -> Int {
    let rows = TokenClass.allCases.filter { mask.contains($0) }
      .reduce(0) { $0 + $1.maximumRows(configuration) }
    return min(rows, configuration.text.contextLength)
  }

  private static func bytesPerLayer(
    _ capacity: Int, _ precision: KeyValuePrecision, _ configuration: ModelConfiguration
  ) -> Int {
    2 * capacity * configuration.text.keyValueWidth * precision.byteCount
  }

  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, needsFrozenRows: Bool, file: String
  ) throws(InputError) -> ExecutionPlan {
    var decoder = Decoder(
      reader: ByteReader(bytes, file: file, what: "section PLAN"), configuration: configuration)
    let plan = try decoder.plan()
    guard needsFrozenRows || !plan.freezesRows else {
      throw InputError(file, "section PLAN: freezes rows, but the header does not say so")
    }
    return plan
  }

  private struct Decoder {
    var reader: ByteReader
    let configuration: ModelConfiguration
    var layerCount: Int { configuration.text.layerCount }

    private struct Counts {
      var tokenClasses, keyValueClasses, variants, segments, candidates, nameBytes: Int
      var defaultVariant: Int
      /// Bytes of each record beyond the fields that this version knows.
      var skips: [Int]
    }

    private struct Variant {
      var segments: Range<Int>
      var withdrawalLayer: Int
      var ratios: (operations: Float, keyValue: Float)
      var name: Range<Int>
    }

    mutating func plan() throws(InputError) -> ExecutionPlan {
      let counts = try header()
      try tokenClasses(counts)
      let (masks, precision) = try keyValueClasses(counts)
      let variants = try variants(counts)
      let segments = try segments(counts, masks: masks)
      let candidates = try candidates(counts)
      let names = try names(variants, counts)
      var profiles: [ScheduleProfile] = []
      for (index, variant) in variants.enumerated() {
        let profile = ScheduleProfile(
          name: names[index], segments: Array(segments[variant.segments]))
        try check(profile)
        guard profile.withdrawalLayer == variant.withdrawalLayer else {
          throw reader.error(
            "variant \(index) says K = \(variant.withdrawalLayer), but its segments say"
              + " \(profile.withdrawalLayer)")
        }
        let ratios = profile.costRatios(configuration, textRows: VTWMLayout.referenceTextRows)
        for (what, found, expected) in [
          ("FLOPs", variant.ratios.operations, ratios.operations),
          ("KV", variant.ratios.keyValue, ratios.keyValue),
        ] where abs(Double(found) - expected) > VTWMLimits.ratioTolerance {
          throw reader.error(
            "variant \(index) has a \(what) ratio of \(found); its segments make it"
              + " \(fixed(expected, 4))")
        }
        profiles.append(profile)
      }
      return ExecutionPlan(
        TokenSchedule(
          layerCount: layerCount, profiles: profiles, defaultProfile: counts.defaultVariant,
          candidates: candidates),
        precision: precision, keyValueClasses: masks)
    }

    private mutating func header() throws(InputError) -> Counts {
      let layers = Int(try reader.integer(UInt32.self))
      guard layers == layerCount else {
        throw reader.error("is for \(layers) layers, but section MODL has \(layerCount)")
      }
      func count(
        _ value: Int, _ what: String, _ range: ClosedRange<Int>
      ) throws(InputError) -> Int {
        guard range.contains(value) else {
          throw reader.error(
            "\(value) \(what); \(range.lowerBound)...\(range.upperBound) expected")
        }
        return value
      }
      let classCount = TokenClass.allCases.count
      let classes = try count(
        Int(try reader.integer(UInt16.self)), "token classes", classCount...classCount)
      let caches = try count(
        Int(try reader.integer(UInt16.self)), "KV classes", 1...VTWMLimits.keyValueClasses)
      let variants = try count(
        Int(try reader.integer(UInt16.self)), "variants", 1...VTWMLimits.variants)
      let defaultVariant = Int(try reader.integer(UInt16.self))
      guard defaultVariant < variants else {
        throw reader.error("the default is variant \(defaultVariant) of \(variants)")
      }
      let segments = try count(
        Int(try reader.integer(UInt32.self)), "segments", variants...VTWMLimits.segments)
      let candidates = try count(
        Int(try reader.integer(UInt32.self)), "candidates", 0...VTWMLimits.candidates)
      var skips: [Int] = []
      for size in [
        RecordSize.tokenClass, RecordSize.keyValueClass, RecordSize.variant, RecordSize.segment,
        RecordSize.candidate,
      ] {
        let stored = try count(
          Int(try reader.integer(UInt16.self)), "bytes per record", size...VTWMLimits.entrySize)
        skips.append(stored - size)
      }
      try reader.reserved(2)
      let nameBytes = Int(try reader.integer(UInt32.self))
      try reader.reserved(28)
      return Counts(
        tokenClasses: classes, keyValueClasses: caches, variants: variants, segments: segments,
        candidates: candidates, nameBytes: nameBytes, defaultVariant: defaultVariant, skips: skips)
    }

    private mutating func tokenClasses(_ counts: Counts) throws(InputError) {
      for tokenClass in TokenClass.allCases {
        var name = try reader.take(VTWMLayout.classNameSize)
        while name.last == 0 { name.removeLast() }
        guard name.elementsEqual(tokenClass.name.utf8) else {
          throw reader.error("token class \(tokenClass.rawValue) is not '\(tokenClass.name)'")
        }
        let rows = Int(try reader.integer(UInt32.self))
        let expected = tokenClass.maximumRows(configuration)
        guard rows == expected else {
          throw reader.error(
            "class '\(tokenClass.name)' has at most \(rows) rows; \(expected) expected")
        }
        guard try reader.integer(UInt32.self) == tokenClass.planKind else {
          throw reader.error("class '\(tokenClass.name)' is of another kind")
        }
        _ = try reader.take(counts.skips[0])
      }
    }

    private mutating func keyValueClasses(
      _ counts: Counts
    ) throws(InputError) -> ([ClassMask], KeyValuePrecision) {
      var masks: [ClassMask] = []
      var common: KeyValuePrecision?
      for index in 0..<counts.keyValueClasses {
        let mask = ClassMask(rawValue: try reader.integer())
        guard ClassMask.all.isSuperset(of: mask), !masks.contains(mask) else {
          throw reader.error("KV class \(index) has the mask \(mask.rawValue), unknown or not new")
        }
        let capacity = Int(try reader.integer(UInt32.self))
        let expected = PlanCodec.capacity(mask, configuration)
        guard capacity == expected, capacity <= VTWMLimits.capacity else {
          throw reader.error("KV class \(index) holds \(capacity) rows; \(expected) expected")
        }
        let code = try reader.integer(UInt8.self)
        guard let precision = KeyValuePrecision(rawValue: code) else {
          throw reader.error("KV class \(index) has dtype \(code), which is not known")
        }
        guard precision == common ?? precision else {
          throw reader.error("KV class \(index) has another dtype than the first")
        }
        common = precision
        try reader.reserved(7)
        let size = try reader.size()
        let expectedSize = PlanCodec.bytesPerLayer(capacity, precision, configuration)
        guard size == expectedSize else {
          throw reader.error(
            "KV class \(index) has \(size) bytes a layer; \(expectedSize) expected")
        }
        try reader.reserved(8)
        _ = try reader.take(counts.skips[1])
        masks.append(mask)
      }
      return (masks, common ?? .f32)
    }

    private mutating func variants(_ counts: Counts) throws(InputError) -> [Variant] {
      var variants: [Variant] = []
      var segment = 0
      var nameEnd = 0
      for index in 0..<counts.variants {
        let first = Int(try reader.integer(UInt16.self))
        let count = Int(try reader.integer(UInt16.self))
        guard first == segment, count >= 1, first + count <= counts.segments else {
          throw reader.error(
            "variant \(index) has segments \(first)..<\(first + count); they follow each other"
              + " in \(segment)..<\(counts.segments)")
        }
        segment += count
        let k = Int(try reader.integer(UInt16.self))
        guard k <= layerCount else {
          throw reader.error("variant \(index) says K = \(k); at most \(layerCount) expected")
        }
        let mode = try reader.integer(UInt8.self)
        guard mode == 0 else {
          throw reader.error("variant \(index) has position mode \(mode), which is not known")
        }
        try reader.reserved(1)
        let ratios = (operations: try reader.float(), keyValue: try reader.float())
        for (what, ratio) in [("FLOPs", ratios.operations), ("KV", ratios.keyValue)] {
          guard (0...1).contains(ratio) else {
            throw reader.error("variant \(index) has a \(what) ratio of \(ratio); 0...1 expected")
          }
        }
        let nameOffset = Int(try reader.integer(UInt32.self))
        let nameSize = Int(try reader.integer(UInt16.self))
        guard nameOffset == nameEnd, (1...VTWMLimits.nameSize).contains(nameSize),
          nameOffset + nameSize <= counts.nameBytes
        else {
          throw reader.error(
            "the name of variant \(index) lies at \(nameOffset)..<\(nameOffset + nameSize); names"
              + " lie back to back in \(counts.nameBytes) bytes")
        }
        nameEnd += nameSize
        try reader.reserved(10)
        _ = try reader.take(counts.skips[2])
        variants.append(
          Variant(
            segments: first..<first + count, withdrawalLayer: k, ratios: ratios,
            name: nameOffset..<nameOffset + nameSize))
      }
      guard segment == counts.segments, nameEnd == counts.nameBytes else {
        throw reader.error("segments or names are left over after the last variant")
      }
      return variants
    }

    private mutating func segments(
      _ counts: Counts, masks: [ClassMask]
    ) throws(InputError) -> [ScheduleSegment] {
      var segments: [ScheduleSegment] = []
      for index in 0..<counts.segments {
        let first = Int(try reader.integer(UInt16.self))
        let end = Int(try reader.integer(UInt16.self))
        guard first < end, end <= layerCount else {
          throw reader.error(
            "segment \(index) has layers \(first)..<\(end) of \(layerCount)")
        }
        let classes = ClassMask(rawValue: try reader.integer())
        let keyValueClass = Int(try reader.integer(UInt16.self))
        guard keyValueClass < masks.count, masks[keyValueClass] == classes else {
          throw reader.error(
            "segment \(index) has the class mask \(classes.rawValue), unlike its KV class"
              + " \(keyValueClass)")
        }
        try reader.reserved(2)
        let frozen = ClassMask(rawValue: try reader.integer())
        _ = try reader.take(counts.skips[3])
        segments.append(ScheduleSegment(layers: first..<end, classes: classes, frozen: frozen))
      }
      return segments
    }

    private mutating func candidates(_ counts: Counts) throws(InputError) -> [ScheduleCandidate] {
      var candidates: [ScheduleCandidate] = []
      for index in 0..<counts.candidates {
        let candidate = ScheduleCandidate(
          eta: try reader.float(), withdrawalLayer: 0, meanKL: try reader.float(),
          maxKL: try reader.float(), agreement: try reader.float(), sampleCount: 0)
        guard candidate.eta.isFinite, candidate.meanKL.isFinite, candidate.maxKL.isFinite,
          (0...1).contains(candidate.agreement)
        else {
          throw reader.error(
            "candidate \(index) holds a number that is not finite, or an agreement outside 0...1")
        }
        var complete = candidate
        complete.withdrawalLayer = Int(try reader.integer(UInt16.self))
        try reader.reserved(2)
        complete.sampleCount = Int(try reader.integer(UInt32.self))
        _ = try reader.take(counts.skips[4])
        guard complete.withdrawalLayer <= layerCount else {
          throw reader.error(
            "candidate \(index) says K = \(complete.withdrawalLayer); at most \(layerCount)"
              + " expected")
        }
        if let last = candidates.last {
          guard last.eta < complete.eta, last.withdrawalLayer >= complete.withdrawalLayer else {
            throw reader.error(
              "candidate \(index): eta must rise and K must not (\(last.eta) -> \(complete.eta),"
                + " \(last.withdrawalLayer) -> \(complete.withdrawalLayer))")
          }
        }
        candidates.append(complete)
      }
      return candidates
    }

    private mutating func names(
      _ variants: [Variant], _ counts: Counts
    ) throws(InputError) -> [String] {
      var names: [String] = []
      for (index, variant) in variants.enumerated() {
        let name = try reader.string(variant.name.count)
        guard !name.utf8.contains(0), !names.contains(where: { $0.utf8.elementsEqual(name.utf8) })
        else {
          throw reader.error("the name of variant \(index) holds a NUL or is taken")
        }
        names.append(name)
      }
      guard reader.remaining == 0 else {
        throw reader.error("\(reader.remaining) bytes are left over")
      }
      return names
    }

    /// Segments cover every layer once, rows only leave, text stays and is updated in every layer.
    private func check(_ profile: ScheduleProfile) throws(InputError) {
      func refuse(_ problem: String) -> InputError {
        reader.error("variant '\(printable(profile.name))' \(problem)")
      }
      var layer = 0
      var previous = ScheduleSegment(layers: 0..<0, classes: .all)
      for segment in profile.segments {
        guard segment.layers.lowerBound == layer else {
          throw refuse(
            "goes on at layer \(segment.layers.lowerBound) after \(layer); layers must follow each"
              + " other")
        }
        layer = segment.layers.upperBound
        guard segment.classes.isSuperset(of: .text) else {
          throw refuse("drops text rows at layer \(segment.layers.lowerBound)")
        }
        guard previous.classes.isSuperset(of: segment.classes) else {
          throw refuse(
            "brings rows back at layer \(segment.layers.lowerBound), which were dropped before")
        }
        guard segment.classes.isSuperset(of: segment.frozen), segment.frozen.isDisjoint(with: .text)
        else { throw refuse("freezes text rows or rows that are not there") }
        previous = segment
      }
      guard layer == layerCount else {
        throw refuse("covers \(layer) of \(layerCount) layers")
      }
    }
  }
}
