import TensorCore
import VTWMFile

/// A `.vtwm` file in the place of a checkpoint.
enum PackedInput {
  /// Whether the file at `path` is one, or is called so: a damaged one shall be named as such.
  static func isOne(_ path: String) -> Bool {
    guard case .file = PathKind(of: path) else { return false }
    return path.hasSuffix(".vtwm") || VTWMFile.hasMagic(path)
  }
}
