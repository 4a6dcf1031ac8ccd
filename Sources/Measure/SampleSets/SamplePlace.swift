import Glibc
import TensorCore

/// A folder, or a file that lists samples, that makes one task.
struct SamplePlace: Sendable {
  /// As the user wrote it, and its sub-folders below.
  let path: String
  let task: String
  let isFolder: Bool
  /// What is in the folder, sorted by bytes; empty for a file.
  let names: [String]
  /// The folder that relative names start from.
  private let folder: String

  /// - Parameter task: nil takes the name of the folder.
  init(at path: String, task: String?) throws(InputError) {
    switch PathKind(of: path) {
    case .folder:
      isFolder = true
      folder = path
      names = try folderEntries(at: path).filter { !$0.hasPrefix(".") }
    case .file:
      isFolder = false
      folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
      names = []
    case .missing: throw InputError(path, "no such folder")
    case .other: throw InputError(path, "is neither a folder nor a regular file")
    }
    self.path = path
    self.task = task ?? Self.name(ofFolder: folder)
  }

  /// The path of `name` in the folder.
  func path(_ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  /// What a sample that `name` describes is called in messages.
  func id(_ name: String) -> String { "\(task)/\(name)" }

  var subfolders: [String] { names.filter { PathKind(of: path($0)) == .folder } }

  /// The path of the image that a list calls `name`, checked to be a file inside the folder.
  ///
  /// Symbolic links are followed, since sets are often made of them; "..", which a list has no
  /// use for, is refused.
  func image(_ name: String) throws(InputError) -> String {
    let shown = "image '\(printable(name))'"
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !name.isEmpty else { throw InputError(path, "has an empty file name") }
    guard !name.hasPrefix("/") else {
      throw InputError(path, "\(shown) is an absolute path; it must be relative to the folder")
    }
    guard !parts.contains("..") else { throw InputError(path, "\(shown) leads out of the folder") }
    guard !name.utf8.contains(0) else { throw InputError(path, "\(shown) holds a zero byte") }
    switch PathKind(of: path(name)) {
    case .file(byteCount: 0): throw InputError(path, "\(shown) is empty")
    case .file: return path(name)
    case .folder: throw InputError(path, "\(shown) is a folder")
    case .other: throw InputError(path, "\(shown) is not a regular file")
    case .missing: throw InputError(path, "\(shown) is not there")
    }
  }

  /// The last part of the folder's real path, so that "." has a name too.
  private static func name(ofFolder folder: String) -> String {
    var real = folder
    if let resolved = unsafe realpath(folder, nil) {
      real = unsafe String(cString: resolved)
      unsafe free(resolved)
    }
    return real.split(separator: "/").last.map(String.init) ?? "samples"
  }
}
