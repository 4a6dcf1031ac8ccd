import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct WeightFilesTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func weights(_ names: String...) -> [UInt8] {
    var writer = SafetensorsWriter()
    for name in names { writer.add(name, shape: [1], floats: [1]) }
    return writer.bytes
  }

  private func writeIndex(_ map: JSONValue) throws -> String {
    try folder.write(
      JSONValue.object(JSONObject([("metadata", [:]), ("weight_map", map)])).text,
      to: "model.safetensors.index.json")
  }

  @Test func joinsShards() throws {
    let first = try folder.write(weights("a", "c"), to: "model-00001-of-00002.safetensors")
    let second = try folder.write(weights("b"), to: "model-00002-of-00002.safetensors")
    let index = try writeIndex([
      "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
      "c": "model-00001-of-00002.safetensors",
    ])
    for path in [folder.path, index, first, second] {
      let files = try WeightFiles(at: path)
      #expect(files.folder == folder.path)
      #expect(files.paths == [index, first, second])
      #expect(files.tensors.keys.sorted() == ["a", "b", "c"])
      #expect(files.tensors["b"]?.region.name == second)
    }
  }

  @Test func prefersTheWholeFileAndTakesALoneOne() throws {
    let other = try folder.write(weights("a"), to: "other.safetensors")
    #expect(try WeightFiles(at: folder.path).paths == [other])
    let whole = try folder.write(weights("b"), to: "model.safetensors")
    #expect(try WeightFiles(at: folder.path).paths == [whole])
    #expect(try WeightFiles(at: other).paths == [other])
  }

  @Test func refusesFilesWithoutAnIndex() throws {
    try folder.write(weights("a"), to: "x.safetensors")
    let shard = try folder.write(weights("b"), to: "model-00001-of-00002.safetensors")
    #expect(
      throws: InputError(
        folder.path,
        "has 2 .safetensors files, but no model.safetensors.index.json that joins them")
    ) { try WeightFiles(at: folder.path) }
    let index = folder.path("model.safetensors.index.json")
    #expect(throws: InputError(shard, "is one of several shards, and \(index) is missing")) {
      try WeightFiles(at: shard)
    }
  }

  @Test func refusesAShardThatDoesNotAgree() throws {
    let path = try folder.write(weights("a", "z"), to: "s.safetensors")
    let index = "model.safetensors.index.json"
    _ = try writeIndex(["a": "s.safetensors"])
    #expect(throws: InputError(path, "has tensor 'z', which \(index) does not put there")) {
      try WeightFiles(at: folder.path(index))
    }
    _ = try writeIndex(["a": "s.safetensors", "b": "s.safetensors", "z": "s.safetensors"])
    #expect(throws: InputError(path, "has no tensor 'b', but \(index) puts it there")) {
      try WeightFiles(at: folder.path(index))
    }
    _ = try writeIndex(["a": "missing.safetensors"])
    let missing = folder.path("missing.safetensors")
    #expect(throws: InputError(missing, "is missing, but \(index) names it")) {
      try WeightFiles(at: folder.path(index))
    }
  }

  @Test(arguments: ["../s.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\u{0}b"])
  func refusesAShardElsewhere(_ name: String) throws {
    let path = try writeIndex(["a": .string(name)])
    let problem = "'weight_map' names '\(printable(name))', which is no file of the same folder"
    #expect(throws: InputError(path, problem)) { try WeightFiles(at: path) }
  }

  @Test func refusesAnIndexWithoutNames() throws {
    let path = try writeIndex(["a": 1])
    #expect(
      throws: InputError(path, "'weight_map' says an integer of 'a'; a file name is expected")
    ) { try WeightFiles(at: path) }
    try folder.write("{}", to: "model.safetensors.index.json")
    #expect(throws: InputError(path, "'weight_map' is missing")) { try WeightFiles(at: path) }
  }

  @Test(
    arguments: [
      ("pytorch_model.bin", [0x50, 0x4B, 3, 4, 0]), ("model.pth", [0x80, 2, 0x7D]),
      ("model.safetensors", [0x50, 0x4B, 3, 4, 0]), ("weights", [0x80, 4, 0x95]),
      ("consolidated.00.pth", [1]),
    ] as [(String, [UInt8])])
  func refusesPickles(_ name: String, _ bytes: [UInt8]) throws {
    let path = try folder.write(bytes, to: name)
    let problem = """
      is a PyTorch pickle, which may run code when read; convert it in Python: \
      safetensors.torch.save_file(torch.load(FILE, weights_only=True), "model.safetensors")
      """
    #expect(throws: InputError(path, problem)) { try WeightFiles(at: path) }
    if name.hasSuffix(".bin") || name.hasSuffix(".pth") {
      #expect(throws: InputError(path, problem)) { try WeightFiles(at: folder.path) }
      let index = try writeIndex(["a": .string(name)])
      #expect(throws: InputError(path, problem)) { try WeightFiles(at: index) }
    }
  }

  @Test func refusesWhatIsNoCheckpoint() throws {
    let text = try folder.write("hello", to: "notes.txt")
    #expect(
      throws: InputError(
        text,
        "is no checkpoint: a folder, a .safetensors or .gguf file or an .index.json is expected")
    ) { try WeightFiles(at: text) }
    #expect(
      throws: InputError(
        folder.path, "has no model.safetensors and no model.safetensors.index.json")
    ) { try WeightFiles(at: folder.path) }
    let missing = folder.path("missing")
    #expect(throws: InputError(missing, "No such file or directory")) {
      try WeightFiles(at: missing)
    }
  }
}
