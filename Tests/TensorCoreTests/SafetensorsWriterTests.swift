import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsWriterTests {
  private func example() -> SafetensorsWriter {
    var writer = SafetensorsWriter(metadata: ["k": "12", "prompt": "a \"b\"\n"])
    writer.add("classes", shape: [3], bytes: [0, 1, 3])
    writer.add("ids", shape: [2, 2], integers: [1, -2, .max, .min])
    writer.add(
      "hidden.00", shape: [2, 3], floats: [1, -2, .infinity, 0.5, -0.0, .leastNonzeroMagnitude])
    writer.add("none", shape: [0, 4], floats: [])
    writer.add("scalar", shape: [], floats: [7])
    return writer
  }

  @Test func readsBackWhatItWrote() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("trace.safetensors")
    try example().write(to: path)
    try example().write(to: path)
    let file = try SafetensorsFile(mapping: path)
    #expect(file.metadata == ["k": "12", "prompt": "a \"b\"\n"])
    #expect(file.tensors.count == 5)
    #expect(
      file.tensors["hidden.00"]?.values() == [1, -2, .infinity, 0.5, -0.0, .leastNonzeroMagnitude])
    #expect(file.tensors["hidden.00"]?.shape == [2, 3])
    #expect(file.tensors["none"]?.shape == [0, 4])
    #expect(file.tensors["scalar"]?.values() == [7])
    let ids = try #require(file.tensors["ids"])
    #expect(ids.format.name == "I32")
    #expect(
      file.region.copy(ids.range)
        == [1, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0, 128])
    let classes = try #require(file.tensors["classes"])
    #expect(file.region.copy(classes.range) == [0, 1, 3])
    #expect(file.region.copy(0..<file.region.byteCount) == example().bytes)
  }

  @Test func alignsEveryTensorToItsType() throws {
    let file = try SafetensorsFile(ByteRegion(copying: example().bytes))
    for tensor in file.tensors.values {
      #expect(tensor.range.lowerBound.isMultiple(of: tensor.format.byteCount), "\(tensor.name)")
    }
  }

  @Test func writesTheSameBytesInAnyOrder() {
    var writer = SafetensorsWriter()
    writer.add("b", shape: [1], floats: [2])
    writer.add("a", shape: [1], floats: [1])
    var other = SafetensorsWriter()
    other.add("a", shape: [1], floats: [1])
    other.add("b", shape: [1], floats: [2])
    #expect(writer.bytes == other.bytes)
  }

  @Test func namesAPathThatCannotBeWritten() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("missing/trace.safetensors")
    #expect(throws: InputError.unwritable(path, 2)) {
      try example().write(to: path)
    }
  }
}
