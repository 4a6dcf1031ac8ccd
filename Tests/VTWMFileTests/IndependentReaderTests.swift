import Architecture
import Glibc
import TensorCore
import Testing
import VTWMFile

/// The Swift programs and `tools/vtwm.py` know each other only through `formats/vtwm.md`.
@Suite(.enabled(if: Python.isThere, "needs Python 3.9")) struct IndependentReaderTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func pythonVerifiesWhatSwiftWrites() throws {
    try TinyModel.writeVisual(at: folder.file("visual.vtwm"))
    try TinyModel.writeTextOnly(at: folder.file("text.vtwm"))
    try TinyModel.writeVisual(TinyModel.tiled, at: folder.file("tiled.vtwm"))
    for name in ["visual.vtwm", "text.vtwm", "tiled.vtwm"] {
      let path = folder.file(name)
      let run = try Python.run(Python.tool, "verify", path)
      #expect(run.status == 0, "\(run.output)")
      #expect(run.output.contains("are whole"))
      let ids = try Python.run(Python.tool, "ids", path).output
      #expect(try ids.hasPrefix("content \(VTWMFile(opening: path).contentID)\n"))
    }
  }

  @Test func pythonDecodesEveryEncodingToTheSameValues() throws {
    let path = folder.file("visual.vtwm")
    try TinyModel.writeVisual(at: path)
    let file = try VTWMFile(opening: path)
    var encodings: Set<Encoding> = []
    for (index, info) in file.tensorInfos.enumerated()
    where encodings.insert(info.encoding).inserted || info.encoding != .f32 {
      let run = try Python.run(Python.tool, "dump", path, info.name)
      #expect(run.status == 0, "\(run.output)")
      let rows = run.output.split(separator: "\n").map {
        $0.split(separator: " ").map { Float($0) }
      }
      let view = try #require(file.tensors[info.key])
      let expected = (0..<view.rows).map { row in
        (0..<view.columns).map { column -> Float? in
          TinyModel.value(index, row, column, info.encoding)
        }
      }
      #expect(rows == expected, "\(info.name)")
    }
    #expect(encodings == Set(Encoding.allCases))
  }

  @Test func pythonFindsDamage() throws {
    try TinyModel.writeVisual(at: folder.file("visual.vtwm"))
    let original = try folder.read("visual.vtwm")
    let weights = try VTWMFile(opening: folder.file("visual.vtwm")).groups[0].byteRange
    for place in [0, 20, 130, 1300, weights.lowerBound - 1, weights.lowerBound + 9] {
      var bytes = original
      bytes[place] ^= 1
      let run = try Python.run(
        Python.tool, "verify", folder.write(bytes, as: "changed.vtwm"))
      #expect(run.status == 65 && run.output.hasPrefix("error: "), "byte \(place): \(run.output)")
      #expect(!run.output.contains("Traceback"))
    }
  }

  @Test func pythonTellsWhatDiffers() throws {
    for name in ["a.vtwm", "b.vtwm"] { try TinyModel.writeVisual(at: folder.file(name)) }
    try TinyModel.writer(
      TinyModel.visual, at: folder.file("c.vtwm"),
      encodings: TinyModel.encodings.merging([TensorKey(.gate, layer: 1): .q8]) { $1 }
    ).seal(schedule: TinyModel.schedule)
    let same = try Python.run(Python.tool, "diff", folder.file("a.vtwm"), folder.file("b.vtwm"))
    #expect(same.status == 0 && same.output == "no difference\n")
    let other = try Python.run(Python.tool, "diff", folder.file("a.vtwm"), folder.file("c.vtwm"))
    #expect(other.status == 1)
    #expect(other.output.contains("tensor 'text.layers.1.gate': f32 12x8 and q8 12x8 differ"))
    #expect(other.output.contains("pROV 0: only in"))
  }

  @Test func swiftReadsWhatPythonWrites() throws {
    let run = try Python.run(Python.maker, folder.path)
    #expect(run.status == 0, "\(run.output)")
    let file = try VTWMFile(opening: folder.file("ok.vtwm"))
    try file.verify()
    #expect(file.configuration.name == "made by Python")
    #expect(file.configuration.text.rope.scaling == .linear(factor: 2))
    #expect(file.configuration.text.hasMLPBias && file.configuration.text.hasOutputBias)
    #expect(file.tokenizer.pieces.map(\.bytes) == [[0xFF], [0x61, 0x62], [0x63]])
    #expect(file.tokenizer.tests == [TokenizerModel.TestVector(text: "c", ids: [2])])
    #expect(file.schedule.profiles.map(\.name) == ["all"])
    #expect(file.template.name == "plain")
    let norm = try #require(file.tensors[.finalNorm])
    #expect(norm.floats[3] == 0.875)
    #expect(file.tensorInfos.map(\.encoding).filter { $0 != .f32 }.count == 16)
    #expect(file.tensorInfos.map(\.sourceType).allSatisfy { $0 == "BF16" })
  }

  @Test func swiftAndPythonRefuseTheSameFiles() throws {
    let run = try Python.run(Python.maker, folder.path)
    #expect(run.status == 0, "\(run.output)")
    let names = folder.names.filter { $0.hasPrefix("bad-") }
    #expect(names.count == 12)
    for name in names {
      let path = folder.file(name)
      #expect(throws: InputError.self, "\(name)") { try VTWMFile(opening: path).verify() }
      #expect(try Python.run(Python.tool, "verify", path).status == 65, "\(name)")
    }
  }
}

/// `formats/examples` holds files that every later version must read.
@Suite struct GoldenFileTests {
  /// A file by name, with its model and the encodings.
  struct Example: Sendable, CustomTestStringConvertible {
    let name: String
    var contents = TinyModel.visual
    var encodings = TinyModel.encodings

    var testDescription: String { name }
  }

  static let examples = [
    Example(name: "tiny", encodings: TinyModel.firstEncodings),
    Example(name: "tiny-q4", encodings: TinyModel.q4Encodings),
    Example(name: "tiny-q4a"),
    Example(name: "tiny-tiles", contents: TinyModel.tiled, encodings: TinyModel.q4Encodings),
  ]

  private func path(_ name: String) -> String { Python.root + "/formats/examples/" + name }

  @Test(arguments: examples)
  func goldenFileHoldsTheTinyModel(_ example: Example) throws {
    let file = try VTWMFile(opening: path(example.name + ".vtwm"))
    try file.verify()
    #expect(file.configuration == example.contents.configuration)
    #expect(file.imageSteps == example.contents.imageSteps)
    #expect(file.tokenizer == example.contents.tokenizer)
    #expect(file.template == example.contents.template)
    #expect(file.schedule == TinyModel.schedule)
    for (index, info) in file.tensorInfos.enumerated() {
      let view = try #require(file.tensors[info.key])
      #expect(info.encoding == example.encodings[info.key] ?? .f32)
      #expect(file.region.copy(info.byteRange) == TinyModel.bytes(index, view.layout))
    }
  }

  @Test(arguments: examples)
  func writerStillWritesTheGoldenFile(_ example: Example) throws {
    let folder = try TemporaryFolder()
    try TinyModel.writeVisual(
      example.contents, at: folder.file("tiny.vtwm"), encodings: example.encodings)
    let written = try FileBytes(folder.read("tiny.vtwm"))
    let golden = try FileBytes(readBytes(path(example.name + ".vtwm")))
    // Raw sections: another zlib may compress to other bytes.
    #expect(written.sections.map(\.type) == golden.sections.map(\.type))
    #expect(written.sections.map(\.raw) == golden.sections.map(\.raw))
    #expect(written.header[64..<96] == golden.header[64..<96])
  }

  @Test(.enabled(if: Python.isThere, "needs Python 3.9"))
  func annotatedDumpIsThatOfTheGoldenFile() throws {
    let run = try Python.run(Python.tool, "annotate", path("tiny.vtwm"))
    #expect(run.status == 0)
    #expect(try run.output == String(decoding: readBytes(path("tiny.txt")), as: UTF8.self))
  }
}
