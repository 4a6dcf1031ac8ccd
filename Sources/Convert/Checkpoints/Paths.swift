import Glibc
import TensorCore

/// File `name` in `folder`.
func joined(_ folder: String, _ name: String) -> String {
  folder.hasSuffix("/") ? folder + name : folder + "/" + name
}

/// The folder that holds `path`.
func parent(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The last part of `path` that names something.
func lastComponent(_ path: String) -> String {
  path.split(separator: "/").last.map(String.init) ?? path
}

func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

func isFolder(_ path: String) -> Bool {
  var status = stat()
  return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Bytes of the file at `path`.
func fileSize(_ path: String) throws(InputError) -> Int {
  var status = stat()
  guard unsafe stat(path, &status) == 0 else { throw InputError(path, errorText(errno)) }
  return Int(status.st_size)
}

/// The names in `folder`, sorted by their bytes.
func listing(of folder: String) throws(InputError) -> [String] {
  guard let stream = unsafe opendir(folder) else { throw InputError(folder, errorText(errno)) }
  defer { unsafe closedir(stream) }
  var names: [String] = []
  while let entry = unsafe readdir(stream) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
      unsafe String(cString: UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self))
    }
    names.append(name)
  }
  return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}
