import TensorCore

/// A safetensors file of a header and data that need not fit each other.
///
/// - Parameter headerSize: what the first 8 bytes say; the header's real size if nil.
package func safetensorsBytes(
  header: String, data: [UInt8] = [], headerSize: UInt64? = nil
) -> [UInt8] {
  var writer = ByteWriter()
  writer.integer(headerSize ?? UInt64(header.utf8.count))
  writer.append(header.utf8)
  writer.append(data)
  return writer.bytes
}
