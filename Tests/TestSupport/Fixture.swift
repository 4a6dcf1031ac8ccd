import TensorCore

/// One tensor of a fixture, its numbers widened: `floats` for floating-point types, `integers` for
/// the others; the other array is empty.
package struct FixtureTensor: Equatable, Sendable {
  package var shape: [Int]
  package var floats: [Float]
  package var integers: [Int]

  package init(shape: [Int], floats: [Float], integers: [Int]) {
    self.shape = shape
    self.floats = floats
    self.integers = integers
  }
}

/// The tensors and metadata of a small safetensors file, as expected values for tests.
package struct Fixture: Sendable {
  package let path: String
  package let tensors: [String: FixtureTensor]
  package let metadata: [String: String]

  /// Reads the file at `path`, which `fixturePath` gives.
  package init(at path: String) throws {
    let region = try ByteRegion(mapping: path)
    var reader = ByteReader(region.copy(0..<region.byteCount), file: path, what: "fixture")
    let headerText = try reader.take(try reader.size())
    let header = try JSONValue(parsing: Array(headerText), file: path)
    let dataStart = reader.offset
    var tensors: [String: FixtureTensor] = [:]
    var metadata: [String: String] = [:]
    for (name, entry) in header.objectValue?.members ?? [] {
      if name == "__metadata__" {
        for (key, value) in entry.objectValue?.members ?? [] { metadata[key] = value.stringValue }
        continue
      }
      guard let type = entry["dtype"]?.stringValue,
        let shape = entry["shape"]?.arrayValue?.compactMap(\.integerValue),
        let count = checkedProduct(shape),
        let start = entry["data_offsets"]?.arrayValue?.first?.integerValue
      else { throw reader.error("tensor \(name) is not described") }
      try reader.seek(to: dataStart + start)
      var tensor = FixtureTensor(shape: shape, floats: [], integers: [])
      for _ in 0..<count { try tensor.append(type, from: &reader) }
      tensors[name] = tensor
    }
    self.path = path
    self.tensors = tensors
    self.metadata = metadata
  }

  /// The tensor `name`, which must be there.
  package subscript(_ name: String) -> FixtureTensor {
    get throws {
      guard let tensor = tensors[name] else {
        throw InputError(path, "no tensor \(name) among \(tensors.keys.sorted())")
      }
      return tensor
    }
  }
}

extension FixtureTensor {
  /// Appends the next number, of the safetensors type `type`.
  fileprivate mutating func append(_ type: String, from reader: inout ByteReader) throws {
    switch type {
    case "F64": floats.append(Float(Double(bitPattern: try reader.integer())))
    case "F32": floats.append(try reader.float())
    case "F16": floats.append(halfToFloat(try reader.integer()))
    case "BF16": floats.append(Float(bitPattern: UInt32(try reader.integer(UInt16.self)) << 16))
    case "I64": integers.append(Int(try reader.integer(Int64.self)))
    case "I32": integers.append(Int(try reader.integer(Int32.self)))
    case "I16": integers.append(Int(try reader.integer(Int16.self)))
    case "I8": integers.append(Int(try reader.integer(Int8.self)))
    case "U8", "BOOL": integers.append(Int(try reader.integer(UInt8.self)))
    default: throw reader.error("type \(type) is not known to test fixtures")
    }
  }
}

/// The value of an IEEE binary16.
private func halfToFloat(_ bits: UInt16) -> Float {
  let sign: Float = bits >> 15 == 0 ? 1 : -1
  let exponent = Int(bits >> 10 & 31)
  let fraction = Float(bits & 0x3FF)
  switch exponent {
  case 0: return sign * fraction * 0x1p-24
  case 31: return fraction == 0 ? sign * .infinity : .nan
  default:
    return Float(sign: .plus, exponent: exponent - 15, significand: sign * (1 + fraction / 1024))
  }
}
