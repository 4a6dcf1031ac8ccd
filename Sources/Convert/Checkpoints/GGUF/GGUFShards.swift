import TensorCore

/// A GGUF model, whole or split into files `…-00001-of-0000N.gguf`.
struct GGUFShards: Sendable {
  let paths: [String]
  /// Of the first file, which says everything about the model.
  let metadata: GGUFMetadata
  let tensors: [String: SourceTensor]

  private static let maximumShards = 4096

  /// Opens the model of which the file at `path` is all or a part.
  init(at path: String) throws(InputError) {
    var tensors: [String: SourceTensor] = [:]
    func add(_ file: GGUFFile) throws(InputError) {
      for tensor in file.tensors {
        guard tensors.count < GGUFFile.tensorLimit else {
          throw InputError(
            file.region.name, "and its siblings have more than \(GGUFFile.tensorLimit) tensors")
        }
        guard tensors.updateValue(tensor, forKey: tensor.name) == nil else {
          throw InputError(
            file.region.name,
            "has tensor '\(printable(tensor.name))', which another of the files has too")
        }
      }
    }
    func splitCount(_ file: GGUFFile) throws(InputError) -> Int {
      try file.metadata.integer("split.count", in: 0...Self.maximumShards) ?? 0
    }
    guard let name = ShardName(lastComponent(path)) else {
      let file = try GGUFFile(mapping: path)
      let count = try splitCount(file)
      guard count <= 1 else {
        throw file.metadata.error(
          "split.count",
          "is \(count), but the file's name does not end in '-00001-of-\(fiveDigits(count)).gguf'")
      }
      try add(file)
      self.init(paths: [path], metadata: file.metadata, tensors: tensors)
      return
    }
    guard name.count <= Self.maximumShards else {
      throw InputError(
        path, "is one of \(name.count) files; at most \(Self.maximumShards) are supported")
    }
    var paths: [String] = []
    var metadata: GGUFMetadata?
    for index in 0..<name.count {
      let shard = joined(parent(of: path), name.file(index))
      guard isNamed(shard) else {
        throw InputError(shard, "is missing, but \(lastComponent(path)) is one of its siblings")
      }
      let file = try GGUFFile(mapping: shard)
      let count = try splitCount(file)
      guard count == name.count else {
        throw file.metadata.error(
          "split.count",
          "is \(count == 0 ? "missing" : String(count)); the file's name says \(name.count)")
      }
      let number = try file.metadata.required("split.no", in: 0...Self.maximumShards)
      guard number == index else {
        throw file.metadata.error("split.no", "is \(number); the file's name says \(index)")
      }
      try add(file)
      paths.append(shard)
      if index == 0 { metadata = file.metadata }
    }
    guard let metadata else { throw InputError(path, "is one of no files") }
    if let total = try metadata.integer("split.tensors.count", in: 0...Int(Int32.max)),
      total != tensors.count
    {
      throw metadata.error(
        "split.tensors.count", "is \(total), but the files have \(tensors.count) tensors")
    }
    self.init(paths: paths, metadata: metadata, tensors: tensors)
  }

  private init(paths: [String], metadata: GGUFMetadata, tensors: [String: SourceTensor]) {
    self.paths = paths
    self.metadata = metadata
    self.tensors = tensors
  }
}

/// A file name that ends in "-00001-of-00004.gguf".
struct ShardName: Equatable {
  private let stem: String
  let count: Int

  init?(_ name: String) {
    guard name.hasSuffix(".gguf") else { return nil }
    let parts = name.dropLast(".gguf".count).split(
      separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[parts.count - 2] == "of",
      let count = Self.number(parts[parts.count - 1]),
      let place = Self.number(parts[parts.count - 3]), (1...max(count, 1)).contains(place)
    else { return nil }
    stem = parts.dropLast(3).joined(separator: "-")
    self.count = count
  }

  /// The file name of shard `index`, from 0 on.
  func file(_ index: Int) -> String {
    "\(stem)-\(fiveDigits(index + 1))-of-\(fiveDigits(count)).gguf"
  }

  private static func number(_ text: Substring) -> Int? {
    text.utf8.count == 5 && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
  }
}

private func fiveDigits(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}
