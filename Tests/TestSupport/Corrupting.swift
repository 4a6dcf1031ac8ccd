/// `bytes` with every bit of the byte at `offset` flipped.
package func corrupting(_ bytes: [UInt8], at offset: Int) -> [UInt8] {
  corrupting(bytes, at: offset, with: [~bytes[offset]])
}

/// `bytes` with those from `offset` on replaced by `replacement`.
package func corrupting(
  _ bytes: [UInt8], at offset: Int, with replacement: [UInt8]
) -> [UInt8] {
  var bytes = bytes
  bytes.replaceSubrange(offset..<offset + replacement.count, with: replacement)
  return bytes
}
