package import Architecture
package import TensorCore

/// The tensors of `table`, which start their regions, in one mapped file, each on pages of its own.
package func mapped(
  _ table: TensorTable, of configuration: ModelConfiguration, in folder: TemporaryFolder
) throws -> TensorTable {
  var bytes: [UInt8] = []
  var offsets: [(key: TensorKey, offset: Int)] = []
  for specification in configuration.tensorGroups.joined() {
    guard let view = table[specification.key] else { continue }
    offsets.append((specification.key, bytes.count))
    bytes += view.region.copy(view.byteRange)
    bytes += Array(repeating: 0, count: (4096 - bytes.count % 4096) % 4096)
  }
  let region = try ByteRegion(mapping: folder.write(bytes, to: "tensors"))
  var result = TensorTable()
  for (key, offset) in offsets {
    guard let view = table[key] else { continue }
    result[key] = TensorView(region, offset: offset, shape: view.shape, encoding: view.encoding)
  }
  return result
}
