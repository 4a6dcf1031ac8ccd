/// Collects named tensors and writes them as one safetensors file.
package struct SafetensorsWriter {
  private struct Tensor {
    let name: String
    let type: SourceType
    let shape: Shape
    let bytes: [UInt8]
  }

  private var tensors: [Tensor] = []
  private var names: Set<ExactString> = []
  /// Free texts for `__metadata__`.
  package var metadata: [String: String]

  package init(metadata: [String: String] = [:]) { self.metadata = metadata }

  /// Adds an f32 tensor; `floats` has as many values as `shape`.
  package mutating func add(_ name: String, shape: Shape, floats: [Float]) {
    let bytes = unsafe floats.withUnsafeBytes { unsafe Array($0) }
    add(name, .f32, shape, bytes)
  }

  /// Adds an i32 tensor; `integers` has as many values as `shape`.
  package mutating func add(_ name: String, shape: Shape, integers: [Int32]) {
    let bytes = unsafe integers.withUnsafeBytes { unsafe Array($0) }
    add(name, .i32, shape, bytes)
  }

  /// Adds a u8 tensor; `bytes` has as many values as `shape`.
  package mutating func add(_ name: String, shape: Shape, bytes: [UInt8]) {
    add(name, .u8, shape, bytes)
  }

  private mutating func add(_ name: String, _ type: SourceType, _ shape: Shape, _ bytes: [UInt8]) {
    precondition(
      type.byteCount(of: shape) == bytes.count, "'\(name)' \(shape) with \(bytes.count) bytes")
    precondition(
      name != "__metadata__" && names.insert(ExactString(name)).inserted, "'\(name)' added twice")
    tensors.append(Tensor(name: name, type: type, shape: shape, bytes: bytes))
  }

  /// The whole file in order of its parts: header, then one part per tensor.
  ///
  /// Wide types come first and the header is padded to a multiple of 8, so every tensor is aligned
  /// to its type.
  private var parts: [[UInt8]] {
    let sorted = tensors.sorted {
      $0.type.bitCount != $1.type.bitCount
        ? $0.type.bitCount > $1.type.bitCount
        : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    var header = JSONObject()
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }
      header["__metadata__"] = .object(JSONObject(texts))
    }
    var position = 0
    for tensor in sorted {
      header[tensor.name] = [
        "dtype": .string(tensor.type.rawValue),
        "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
        "data_offsets": [.integer(position), .integer(position + tensor.bytes.count)],
      ]
      position += tensor.bytes.count
    }
    var text = Array(JSONValue.object(header).text.utf8)
    while !text.count.isMultiple(of: 8) { text.append(UInt8(ascii: " ")) }
    var start = ByteWriter()
    start.integer(UInt64(text.count))
    start.append(text)
    return [start.bytes] + sorted.map(\.bytes)
  }

  /// The bytes of the file.
  package var bytes: [UInt8] { Array(parts.joined()) }

  /// Writes the file as `OutputFile` does.
  package func write(to path: String) throws(InputError) {
    try OutputFile.write(parts, to: path)
  }
}
