import Architecture
import Checkpoints
import Glibc
import Kernels
import Packing
import TensorCore
import TestSupport
import Testing
import VTWMFile

/// Runs that were killed while packing, and others that go on.
@Suite struct ResumeTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Sources of packing: safetensors, and a GGUF file.
  static let sources = ["models/gqa", "gguf/gqa/gqa.gguf"]

  private static func checkpoint(_ source: String) throws -> Checkpoint {
    try Checkpoint(
      at: fixturePath(source), projector: source.hasPrefix("gguf") ? "none" : nil,
      readTokenizer: TokenizerFiles.read)
  }

  private static func writer(
    _ path: String, _ checkpoint: Checkpoint, resumes: Bool, encoding: Encoding = .q4,
    source: JSONValue = "s"
  ) throws -> VTWMWriter {
    try VTWMWriter(
      path: path,
      contents: VTWMContents(
        configuration: checkpoint.configuration, imageSteps: checkpoint.imageSteps,
        tokenizer: checkpoint.tokenizer, template: checkpoint.template),
      encodings: PackPlan(checkpoint.configuration, encoding: encoding).encodings, overwrite: true,
      keeping: VTWMWriter.Keeping(source: source, resumes: resumes))
  }

  /// Packs and seals; `watch` is told the number of tensors that are done.
  @discardableResult
  private static func pack(
    _ path: String, _ source: String, resumes: Bool, watch: (Int) throws -> Void = { _ in }
  ) throws -> PackErrors {
    let checkpoint = try checkpoint(source)
    let writer = try writer(path, checkpoint, resumes: resumes)
    let plan = PackPlan(checkpoint.configuration, encoding: .q4)
    var done = writer.finished.count
    let errors = try Packer(checkpoint, plan: plan, compute: Compute(threads: 2)).write(to: writer)
    {
      _, isStart in
      if !isStart { done += 1 }
      try watch(done)
    }
    try writer.seal(
      schedule: .full(layerCount: checkpoint.configuration.text.layerCount),
      provenance: ["errors": errors.json])
    return errors
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    try fileBytes(at: folder.path(name), limit: 1 << 24)
  }

  @Test(arguments: sources, [1, 2, 9, 20])
  func aKilledRunIsGoneOnWith(source: String, count: Int) async throws {
    try Self.pack(folder.path("whole.vtwm"), source, resumes: false)
    try folder.write("\(source)\n\(count)", to: "job")
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = folder.path as String] in
      let job = try String(decoding: fileBytes(at: "\(path)/job", limit: 1 << 10), as: UTF8.self)
        .split(separator: "\n")
      try Self.pack("\(path)/m.vtwm", String(job[0]), resumes: false) { done in
        if done == Int(job[1]) { kill(getpid(), SIGKILL) }
      }
    }
    let left = try folderEntries(at: folder.path)
    #expect(left == ["job", "m.vtwm.part", "m.vtwm.part.journal", "whole.vtwm"])
    var first: Int?
    try Self.pack(folder.path("m.vtwm"), source, resumes: true) { first = first ?? $0 }
    #expect(first == count)
    #expect(try bytes("m.vtwm") == bytes("whole.vtwm"))
    #expect(try folderEntries(at: folder.path) == ["job", "m.vtwm", "whole.vtwm"])
  }

  /// Stops after `count` tensors as a kill would, without the process.
  private func stop(after count: Int, _ source: String = "models/gqa") throws {
    struct Stop: Error {}
    let checkpoint = try Self.checkpoint(source)
    let writer = try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: false)
    let plan = PackPlan(checkpoint.configuration, encoding: .q4)
    var done = 0
    #expect(throws: Stop.self) {
      try Packer(checkpoint, plan: plan, compute: Compute(threads: 1)).write(to: writer) { _, _ in
        done += 1
        if done == count { throw Stop() }
      }
    }
    writer.keep()
  }

  @Test func whatIsDamagedIsPackedAgain() throws {
    try Self.pack(folder.path("whole.vtwm"), "models/gqa", resumes: false)
    // What happens to the partial file and its journal, and how many tensors are taken over.
    let damages: [(part: ([UInt8]) -> [UInt8], journal: ([UInt8]) -> [UInt8], kept: Range<Int>)] = [
      ({ $0 }, { Array($0.dropLast()) }, 9..<10),
      ({ $0 }, { Array($0.dropLast(7)) }, 8..<9),
      ({ $0 }, { $0 + Array("{\"x\":1} 17\n".utf8) }, 9..<10),
      ({ $0 }, { $0.map { $0 == 0x6D ? 0x6E : $0 } }, 0..<0),
      ({ Array($0[..<(70_000)]) }, { $0 }, 0..<9),
      ({ bytes in bytes.indices.map { $0 > 66_000 ? 0xAA : bytes[$0] } }, { $0 }, 0..<9),
    ]
    for (index, damage) in damages.enumerated() {
      try stop(after: 9)
      try folder.write(damage.part(try bytes("m.vtwm.part")), to: "m.vtwm.part")
      try folder.write(damage.journal(try bytes("m.vtwm.part.journal")), to: "m.vtwm.part.journal")
      if damage.kept == 0..<0 {
        // No line of the journal is whole.
        let checkpoint = try Self.checkpoint("models/gqa")
        let error = #expect(throws: InputError.self) {
          try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: true)
        }
        #expect(error?.problem.contains("--resume") == true)
        #expect(error?.file.hasSuffix("m.vtwm.part.journal") == true)
      } else {
        let checkpoint = try Self.checkpoint("models/gqa")
        let writer = try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: true)
        #expect(damage.kept.contains(writer.finished.count), "\(index): \(writer.finished.count)")
        writer.keep()
      }
      let resumes = damage.kept != 0..<0
      try Self.pack(folder.path("m.vtwm"), "models/gqa", resumes: resumes)
      #expect(try bytes("m.vtwm") == bytes("whole.vtwm"), "\(index)")
      unsafe unlink(folder.path("m.vtwm"))
    }
  }

  @Test func anotherSourceOrOtherOptionsAreRefused() throws {
    try stop(after: 5)
    let part = try bytes("m.vtwm.part"), journal = try bytes("m.vtwm.part.journal")
    let checkpoint = try Self.checkpoint("models/gqa")
    func refused(_ encoding: Encoding, _ source: JSONValue) -> InputError? {
      #expect(throws: InputError.self) {
        try Self.writer(
          folder.path("m.vtwm"), checkpoint, resumes: true, encoding: encoding, source: source)
      }
    }
    for error in [refused(.q8, "s"), refused(.q4, "t"), refused(.q4, ["inputs": 2])] {
      #expect(error?.file == folder.path("m.vtwm.part"))
      #expect(error?.problem.contains("another") == true)
      #expect(error?.problem.contains("leave --resume out to start anew") == true)
    }
    // Nothing was lost by that.
    #expect(try bytes("m.vtwm.part") == part && bytes("m.vtwm.part.journal") == journal)
    // Without --resume it starts anew.
    #expect(try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: false).finished.isEmpty)
    #expect(try folderEntries(at: folder.path).isEmpty)
  }

  @Test func oneProcessWritesAtATime() throws {
    let checkpoint = try Self.checkpoint("models/gqa")
    let writer = try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: false)
    for resumes in [false, true] {
      let error = #expect(throws: InputError.self) {
        try Self.writer(folder.path("m.vtwm"), checkpoint, resumes: resumes)
      }
      #expect(error?.problem == "is being written by another process")
    }
    #expect(writer.partialPath == folder.path("m.vtwm.part"))
  }

  /// A run whose partial file somebody removed publishes nothing.
  @Test func aReplacedPartialFileIsNotPublished() throws {
    let error = #expect(throws: InputError.self) {
      try Self.pack(folder.path("m.vtwm"), "models/gqa", resumes: false) { done in
        if done == 3 { try folder.write("x", to: "other") }
        if done == 3 { unsafe rename(folder.path("other"), folder.path("m.vtwm.part")) }
      }
    }
    #expect(error?.problem.contains("replaced") == true)
    #expect(PathKind(of: folder.path("m.vtwm")) == .missing)
  }
}
