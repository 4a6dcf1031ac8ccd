package import TensorCore

/// The safetensors files of a model, whole or in shards, and their tensors by source name.
package struct WeightFiles: Sendable {
  /// Where the siblings of the weights are: configuration and tokenizer.
  package let folder: String
  /// Paths of the weight files, and of the index if there is one.
  package let paths: [String]
  package let tensors: [String: SourceTensor]

  private static let indexName = "model.safetensors.index.json"
  private static let maximumShards = 4096
  private static let maximumTensors = 200_000

  /// Finds the weights from a folder, a `.safetensors` file or an index of shards.
  package init(at path: String) throws(InputError) {
    if PathKind(of: path) == .folder {
      try self.init(folder: path)
    } else if path.hasSuffix(".index.json") {
      try self.init(index: path)
    } else {
      try self.init(file: path)
    }
  }

  private init(folder: String) throws(InputError) {
    let names = try folderEntries(at: folder)
    let weights = names.filter { $0.hasSuffix(".safetensors") }
    if names.contains("model.safetensors") {
      try self.init(whole: joined(folder, "model.safetensors"))
    } else if names.contains(Self.indexName) {
      try self.init(index: joined(folder, Self.indexName))
    } else if weights.count == 1 {
      try self.init(whole: joined(folder, weights[0]))
    } else if !weights.isEmpty {
      throw InputError(
        folder, "has \(weights.count) .safetensors files, but no \(Self.indexName) that joins them")
    } else if let pickle = names.first(where: { name in
      // Other pickles, such as training arguments, are no weights.
      Self.pickleSuffixes.contains(where: name.hasSuffix) && !name.hasPrefix("training_args")
    }) {
      throw Self.pickleError(joined(folder, pickle))
    } else {
      throw InputError(folder, "has no model.safetensors and no \(Self.indexName)")
    }
  }

  private init(file path: String) throws(InputError) {
    let region = try ByteRegion(mapping: path)
    let start = region.copy(0..<min(region.byteCount, 4))
    // A zip archive (PyTorch 1.6 and later) or a bare pickle of protocol 2 to 5.
    let isPickle =
      start.elementsEqual([0x50, 0x4B, 3, 4])
      || start.count >= 2 && start[0] == 0x80 && (2...5).contains(start[1])
    if isPickle || Self.pickleSuffixes.contains(where: path.hasSuffix) {
      throw Self.pickleError(path)
    }
    guard path.hasSuffix(".safetensors") else {
      throw InputError(
        path,
        "is no checkpoint: a folder, a .safetensors or .gguf file or an .index.json is expected")
    }
    // One shard is not a model; its index names the others.
    let index = joined(parent(of: path), Self.indexName)
    if Self.isShard(lastComponent(path)) {
      guard isNamed(index) else {
        throw InputError(path, "is one of several shards, and \(index) is missing")
      }
      try self.init(index: index)
    } else {
      try self.init(whole: path)
    }
  }

  private init(whole path: String) throws(InputError) {
    folder = parent(of: path)
    paths = [path]
    tensors = try SafetensorsFile(mapping: path).tensors
  }

  /// Opens the shards that the index at `path` names; every tensor must be where it says.
  private init(index path: String) throws(InputError) {
    let settings = try Settings(readingFile: path)
    guard let map = try settings.section("weight_map")?.members else {
      throw settings.error("weight_map", "is missing")
    }
    guard map.members.count <= Self.maximumTensors else {
      throw settings.error("weight_map", "names more than \(Self.maximumTensors) tensors")
    }
    let folder = parent(of: path)
    var shards: [String: SafetensorsFile] = [:]
    var order: [String] = []
    var tensors: [String: SourceTensor] = [:]
    for (name, value) in map.members {
      guard let shard = value.stringValue else {
        throw settings.error(
          "weight_map", "says \(value.kind) of '\(printable(name))'; a file name is expected")
      }
      let shardPath = joined(folder, shard)
      if shards[shard] == nil {
        guard !shard.isEmpty, shard != ".", shard != "..",
          !shard.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
        else {
          throw settings.error(
            "weight_map", "names '\(printable(shard))', which is no file of the same folder")
        }
        guard order.count < Self.maximumShards else {
          throw settings.error("weight_map", "names more than \(Self.maximumShards) files")
        }
        guard !Self.pickleSuffixes.contains(where: shard.hasSuffix) else {
          throw Self.pickleError(shardPath)
        }
        guard isNamed(shardPath) else {
          throw InputError(shardPath, "is missing, but \(lastComponent(path)) names it")
        }
        let file = try SafetensorsFile(mapping: shardPath)
        // At once, so that all shards together have no more tensors than the index.
        if let stray = file.tensors.keys.filter({ map[$0]?.stringValue != shard }).min() {
          throw InputError(
            shardPath,
            "has tensor '\(printable(stray))', which \(lastComponent(path)) does not put there")
        }
        shards[shard] = file
        order.append(shard)
      }
      guard let tensor = shards[shard]?.tensors[name] else {
        throw InputError(
          shardPath, "has no tensor '\(printable(name))', but \(lastComponent(path)) puts it there")
      }
      tensors[name] = tensor
    }
    self.folder = folder
    paths = [path] + order.map { joined(folder, $0) }
    self.tensors = tensors
  }

  /// Whether `name` ends in "-00001-of-00004.safetensors".
  private static func isShard(_ name: String) -> Bool {
    let parts = name.dropLast(".safetensors".count).split(separator: "-")
    guard parts.count >= 3, parts[parts.count - 2] == "of" else { return false }
    return [parts[parts.count - 1], parts[parts.count - 3]].allSatisfy { part in
      part.count == 5 && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
  }

  private static let pickleSuffixes = [".bin", ".pt", ".pth", ".ckpt"]

  private static func pickleError(_ path: String) -> InputError {
    InputError(
      path,
      """
      is a PyTorch pickle, which may run code when read; convert it in Python: \
      safetensors.torch.save_file(torch.load(FILE, weights_only=True), "model.safetensors")
      """)
  }
}
