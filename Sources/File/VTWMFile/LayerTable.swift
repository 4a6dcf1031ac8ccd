import Architecture
import TensorCore

/// What section LAYR says of one decoder layer.
package struct LayerRecord: Equatable, Sendable {
  /// Whether no visual row enters this layer in the default profile.
  package var truncated: Bool
  /// Which of the plan's kinds of cache the default profile keeps here.
  package var keyValueClass: Int
  package var headCount: Int
  package var keyValueHeadCount: Int
  package var headDimension: Int
  package var intermediateSize: Int
  /// The `WGTS` instance that holds the layer's tensors.
  package var group: Int
  /// KL divergence (nats) of withdrawing before this layer, where calibration measured it.
  package var kl: Float?
}

/// Section LAYR: one record per decoder layer.
enum LayerTable {
  private static let klMeasured: UInt32 = 1

  /// What the records must say, but for the measured divergences.
  static func records(
    _ configuration: ModelConfiguration, _ plan: ExecutionPlan, kl: [Float?]
  ) -> [LayerRecord] {
    let text = configuration.text
    let firstGroup = configuration.firstLayerGroup
    return (0..<text.layerCount).map { layer in
      let (classes, keyValueClass) = plan.layer(layer)
      return LayerRecord(
        truncated: !classes.contains(.visual), keyValueClass: keyValueClass,
        headCount: text.headCount, keyValueHeadCount: text.keyValueHeadCount,
        headDimension: text.headDimension, intermediateSize: text.intermediateSize,
        group: firstGroup + layer, kl: kl.indices.contains(layer) ? kl[layer] : nil)
    }
  }

  static func encode(_ records: [LayerRecord]) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(UInt32(records.count))
    writer.integer(UInt32(VTWMLayout.layerEntrySize))
    writer.zeros(8)
    for (layer, record) in records.enumerated() {
      writer.integer(UInt16(layer))
      writer.integer(UInt8(record.truncated ? 1 : 0))
      writer.integer(UInt8(record.keyValueClass))
      writer.integer(UInt16(record.headCount))
      writer.integer(UInt16(record.keyValueHeadCount))
      writer.integer(UInt16(record.headDimension))
      writer.integer(UInt16(record.headDimension))
      writer.integer(UInt32(record.intermediateSize))
      writer.integer(UInt32(record.group))
      writer.float(record.kl ?? 0)
      writer.integer(record.kl == nil ? 0 : klMeasured)
      writer.zeros(4)
    }
    return writer.bytes
  }

  /// Reads the records and compares them with what MODL and PLAN say.
  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, plan: ExecutionPlan, file: String
  ) throws(InputError) -> [LayerRecord] {
    var reader = ByteReader(bytes, file: file, what: "section LAYR")
    let expected = records(configuration, plan, kl: [])
    let count = Int(try reader.integer(UInt32.self))
    guard count == expected.count else {
      throw reader.error("has \(count) layers, but section MODL has \(expected.count)")
    }
    let entrySize = Int(try reader.integer(UInt32.self))
    guard (VTWMLayout.layerEntrySize...VTWMLimits.entrySize).contains(entrySize) else {
      throw reader.error(
        "entries of \(entrySize) bytes; at least \(VTWMLayout.layerEntrySize) expected")
    }
    try reader.reserved(8)
    var records: [LayerRecord] = []
    for (layer, expected) in expected.enumerated() {
      let record = try decodeRecord(&reader, layer: layer)
      _ = try reader.take(entrySize - VTWMLayout.layerEntrySize)
      var comparable = record
      comparable.kl = nil
      guard record.truncated == expected.truncated else {
        throw reader.error(
          "layer \(layer) says truncated = \(record.truncated), but section PLAN says"
            + " \(expected.truncated)")
      }
      guard comparable == expected else {
        throw reader.error("layer \(layer) differs from sections MODL and PLAN")
      }
      records.append(record)
    }
    guard reader.remaining == 0 else {
      throw reader.error("\(reader.remaining) bytes are left over")
    }
    return records
  }

  private static func decodeRecord(
    _ reader: inout ByteReader, layer: Int
  ) throws(InputError) -> LayerRecord {
    let number = try reader.integer(UInt16.self)
    guard number == layer else {
      throw reader.error("record \(layer) is for layer \(number)")
    }
    let truncated = try reader.integer(UInt8.self)
    guard truncated <= 1 else {
      throw reader.error("layer \(layer) says truncated = \(truncated); 0 or 1 expected")
    }
    let keyValueClass = Int(try reader.integer(UInt8.self))
    let heads = Int(try reader.integer(UInt16.self))
    let keyValueHeads = Int(try reader.integer(UInt16.self))
    let keyDimension = Int(try reader.integer(UInt16.self))
    let valueDimension = Int(try reader.integer(UInt16.self))
    guard keyDimension == valueDimension else {
      throw reader.error(
        "layer \(layer) has keys of \(keyDimension) and values of \(valueDimension) numbers")
    }
    let intermediate = Int(try reader.integer(UInt32.self))
    let group = Int(try reader.integer(UInt32.self))
    let kl = try reader.float()
    let flags = try reader.integer(UInt32.self)
    try reader.reserved(4)
    guard flags & ~klMeasured == 0 else {
      throw reader.error("layer \(layer) has the flags \(flags), which are not known")
    }
    let isMeasured = flags & klMeasured != 0
    guard kl.isFinite, isMeasured || kl == 0 else {
      throw reader.error(
        "layer \(layer) has a divergence of \(kl) that is \(isMeasured ? "not finite" : "not measured")"
      )
    }
    return LayerRecord(
      truncated: truncated == 1, keyValueClass: keyValueClass, headCount: heads,
      keyValueHeadCount: keyValueHeads, headDimension: keyDimension,
      intermediateSize: intermediate, group: group, kl: isMeasured ? kl : nil)
  }
}
