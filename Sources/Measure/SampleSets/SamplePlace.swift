import Glibc
import Prompting
import TensorCore

/// A folder, or a file that lists samples, that makes one task or several.
struct SamplePlace: Sendable {
  /// As the user wrote it, and its sub-folders below.
  let path: String
  let task: String
  let isFolder: Bool
  /// What is in the folder, sorted by bytes; empty for a file.
  let names: [String]
  /// The folder that relative names start from.
  private let folder: String
  /// What goes before the names of samples.
  private let label: String
  /// Whether the user gave the task's name, which then goes before the names of tasks inside.
  private let isNamed: Bool

  /// - Parameter name: the task's; nil takes the name of the folder, or of the file without its
  ///   ending, unless that is "metadata".
  init(at path: String, name: String?) throws(InputError) {
    switch PathKind(of: path) {
    case .folder:
      isFolder = true
      folder = path
      names = try folderEntries(at: path).filter { !$0.hasPrefix(".") }
    case .file:
      isFolder = false
      folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
      names = []
    case .missing: throw InputError(path, "no such file or folder")
    case .other: throw InputError(path, "is neither a folder nor a regular file")
    }
    self.path = path
    isNamed = name != nil
    label = name ?? Self.name(ofFolder: folder)
    let stem = path.split(separator: "/").last?.split(separator: ".").first.map(String.init)
    task = isFolder || isNamed || stem == "metadata" ? label : stem ?? label
  }

  /// The folder `name` of this one, whose samples are a task of their own.
  func subfolder(_ name: String) throws(InputError) -> SamplePlace {
    try SamplePlace(at: path(name), name: task(of: name))
  }

  /// The path of `name` in the folder.
  func path(_ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  /// What a sample that `name` describes is called in messages.
  func id(_ name: String) -> String { "\(label)/\(name)" }

  /// What the task that the set calls `name` is called.
  func task(of name: String) -> String { isNamed ? "\(label)/\(name)" : name }

  var subfolders: [String] { names.filter { PathKind(of: path($0)) == .folder } }

  /// The image that a list calls `name`, checked to be a file inside the folder.
  ///
  /// Symbolic links are followed, since sets are often made of them; "..", which a list has no
  /// use for, is refused, and so are absolute paths to other places.
  ///
  /// - Parameter alternative: a sub-folder where the image may lie as well.
  func image(_ name: String, orIn alternative: String? = nil) throws(InputError) -> ImageSource {
    let shown = "image '\(printable(name))'"
    guard !name.isEmpty else { throw InputError(path, "has an empty file name") }
    guard !name.utf8.contains(0) else { throw InputError(path, "\(shown) holds a zero byte") }
    for scheme in ["http://", "https://"] where name.hasPrefix(scheme) {
      throw InputError(path, "\(shown) is a web address; nothing is downloaded")
    }
    var relative = name.hasPrefix("file://") ? String(name.dropFirst(7)) : name
    if relative.hasPrefix("/") {
      guard let inside = relativePath(relative) else {
        throw InputError(path, "\(shown) is an absolute path that lies outside the folder")
      }
      relative = inside
    }
    guard !relative.split(separator: "/").contains("..") else {
      throw InputError(path, "\(shown) leads out of the folder")
    }
    if let alternative, PathKind(of: path(relative)) == .missing,
      PathKind(of: path("\(alternative)/\(relative)")) != .missing
    {
      relative = "\(alternative)/\(relative)"
    }
    switch PathKind(of: path(relative)) {
    case .file(byteCount: 0): throw InputError(path, "\(shown) is empty")
    case .file: return ImageSource(path: path(relative))
    case .folder: throw InputError(path, "\(shown) is a folder")
    case .other: throw InputError(path, "\(shown) is not a regular file")
    case .missing: throw InputError(path, "\(shown) is not there")
    }
  }

  /// The images that a list calls `names`: see `image`.
  func images(
    _ names: [String], orIn alternative: String? = nil
  ) throws(InputError) -> [ImageSource] {
    var images: [ImageSource] = []
    for name in names { images.append(try image(name, orIn: alternative)) }
    return images
  }

  /// `absolute` from the folder on; nil if it does not begin with the folder's path.
  private func relativePath(_ absolute: String) -> String? {
    for root in [folder, Self.realPath(folder) ?? folder] where root.hasPrefix("/") {
      let prefix = root.hasSuffix("/") ? root : root + "/"
      if absolute.hasPrefix(prefix) { return String(absolute.dropFirst(prefix.count)) }
    }
    return nil
  }

  /// The last part of the folder's real path, so that "." has a name too.
  private static func name(ofFolder folder: String) -> String {
    (realPath(folder) ?? folder).split(separator: "/").last.map(String.init) ?? "samples"
  }

  private static func realPath(_ folder: String) -> String? {
    guard let resolved = unsafe realpath(folder, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}
