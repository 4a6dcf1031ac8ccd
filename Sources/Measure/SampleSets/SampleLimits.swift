import TensorCore

/// Caps on what a set may hold, in bytes, checked before anything of that size is allocated.
enum SampleLimits {
  /// What describes one sample: a line of a list, a file beside an image, a cell of a table.
  static let sample = 1 << 20
  /// A line or cell that holds images as base64, and a member of an archive that is one.
  static let image = 256 << 20
  /// The rows that a table may have, the entries of a list, the members of an archive.
  static let entries = 10_000_000

  static let json = JSONLimits(
    byteCount: sample, depth: 64, valueCount: 100_000, stringByteCount: sample)
  static let jsonWithImages = JSONLimits(
    byteCount: image, depth: 64, valueCount: 100_000, stringByteCount: image)
}
