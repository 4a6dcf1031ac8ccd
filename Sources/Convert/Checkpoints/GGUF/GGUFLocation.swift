import TensorCore

/// Where a GGUF model lies: the file of the language model, and of vision tower and projector.
struct GGUFLocation: Equatable {
  /// The file, or one of several that it was split into.
  let model: String
  /// Nil for a text-only model.
  let projector: String?

  /// A value of `--mmproj` that says not to look for one.
  private static let none = "none"

  /// Nil if `path` is no GGUF file and no folder with GGUF files alone.
  ///
  /// - Parameter projector: the file to take, or "none"; nil looks beside the model.
  init?(at path: String, projector: String?) throws(InputError) {
    let folder: String
    if PathKind(of: path) == .folder {
      let names = try folderEntries(at: path)
      let others = [".safetensors", ".safetensors.index.json"]
      let files = names.filter { $0.hasSuffix(".gguf") }
      guard !files.isEmpty,
        !names.contains(where: { name in others.contains(where: name.hasSuffix) })
      else { return nil }
      // Of a split model the first file stands for all.
      let models = files.filter { name in
        !Self.isProjector(name) && ShardName(name).map { $0.file(0) == name } ?? true
      }
      guard models.count == 1 else {
        throw InputError(
          path,
          models.isEmpty
            ? "has no GGUF language model, only '\(printable(files[0]))'"
            : "has \(models.count) GGUF models; give one of them, such as "
              + "'\(printable(models[0]))'")
      }
      folder = path
      model = joined(path, models[0])
    } else {
      guard try Self.isGGUF(path) else { return nil }
      folder = parent(of: path)
      model = path
    }
    if let projector {
      self.projector = projector == Self.none ? nil : projector
      return
    }
    // The projector itself was given: what it is, its own reader says best.
    guard !Self.isProjector(lastComponent(model)) else {
      self.projector = nil
      return
    }
    let beside = try folderEntries(at: folder).filter {
      $0.hasSuffix(".gguf") && Self.isProjector($0)
    }
    guard beside.count <= 1 else {
      throw InputError(
        folder,
        "has \(beside.count) mmproj files, such as '\(printable(beside[0]))'; choose with --mmproj "
          + "(or 'none')")
    }
    self.projector = beside.first.map { joined(folder, $0) }
  }

  private static func isGGUF(_ path: String) throws(InputError) -> Bool {
    if path.hasSuffix(".gguf") { return true }
    guard case .file(let byteCount) = PathKind(of: path), byteCount >= 4 else { return false }
    return try ByteRegion(mapping: path).copy(0..<4).elementsEqual("GGUF".utf8)
  }

  private static func isProjector(_ name: String) -> Bool {
    name.lowercased().contains("mmproj")
  }
}
