import Architecture
import Glibc
import TensorCore
import Testing
import VTWMFile

@Suite struct WriterTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func problem(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch { return (error as? InputError)?.problem ?? "\(error)" }
  }

  @Test func sameInputGivesTheSameBytes() throws {
    for name in ["a.vtwm", "b.vtwm"] { try TinyModel.writeVisual(at: folder.file(name)) }
    #expect(try folder.read("a.vtwm") == folder.read("b.vtwm"))
  }

  @Test func nothingHasTheNameBeforeTheEnd() throws {
    let path = folder.file("a.vtwm")
    let writer = try TinyModel.writer(TinyModel.textOnly, at: path)
    let before = folder.names
    #expect(before.isEmpty || [path, writer.pendingPath].contains(folder.file(before[0])))
    #expect(!before.contains("a.vtwm"))
    try writer.seal(schedule: .full(layerCount: 1))
    #expect(folder.names == ["a.vtwm"])
    #expect(writer.pendingPath == nil)
  }

  @Test func abandonedFileLeavesNothing() throws {
    _ = try TinyModel.writer(TinyModel.textOnly, at: folder.file("a.vtwm"))
    #expect(folder.names.isEmpty)
  }

  @Test func refusedScheduleLeavesNothing() throws {
    let path = folder.file("a.vtwm")
    for (schedule, message) in [
      (TokenSchedule.full(layerCount: 2), "is for 2 layers, but section MODL has 1"),
      (TokenSchedule(layerCount: 1, profiles: []), "the default profile is number 0 of 0"),
      (
        TokenSchedule(
          layerCount: 1,
          profiles: [
            ScheduleProfile(
              name: "x", segments: [ScheduleSegment(layers: 0..<1, classes: .visual)])
          ]), "drops text rows"
      ),
      (
        TokenSchedule(
          layerCount: 1,
          profiles: [
            ScheduleProfile(name: "", segments: [ScheduleSegment(layers: 0..<1, classes: .all)])
          ]), "names lie back to back"
      ),
    ] {
      let problem = problem {
        try TinyModel.writer(TinyModel.textOnly, at: path).seal(schedule: schedule)
      }
      #expect(problem?.contains(message) == true, "\(problem ?? "sealed")")
    }
    #expect(folder.names.isEmpty)
  }

  @Test func contentsThatNoReaderTakesAreNotWritten() throws {
    let path = folder.file("a.vtwm")
    func refused(_ message: String, _ change: (inout VTWMContents) -> Void) {
      var contents = TinyModel.visual
      change(&contents)
      let problem = problem { _ = try VTWMWriter(path: path, contents: contents, encodings: [:]) }
      #expect(problem?.contains(message) == true, "\(problem ?? "written")")
    }
    refused("'text.layers' is 0") { $0.configuration.text.layerCount = 0 }
    refused("'text.norm_eps' is null") { $0.configuration.text.normEpsilon = .nan }
    refused("'image_token' is -200") { $0.configuration.imageTokenID = -200 }
    refused("needs image steps") { $0.imageSteps = nil }
    refused("must be there together") { $0.configuration.projector = nil }
    refused("is not among 13 pieces") { $0.tokenizer.bosID = -1 }
    refused("is not among 13 pieces") { $0.tokenizer.merges[0].left = 1 << 40 }
    refused("13 pieces, but section MODL has a vocabulary of 12") {
      $0.configuration.text.vocabularySize = 12
      $0.configuration.imageTokenID = 11
    }
    refused("the score of piece 3 is not finite") { $0.tokenizer.pieces[3].score = .infinity }
    refused("the offset of piece 5") {
      $0.tokenizer.pieces[4].bytes = [UInt8](repeating: 0x61, count: 1025)
    }
    refused("does not hold the placeholder") { $0.template.image = "" }
    #expect(folder.names.isEmpty)
  }

  @Test func existingFileIsKeptUnlessToldOtherwise() throws {
    let path = try folder.write([1, 2, 3], as: "a.vtwm")
    let refusal = problem { try TinyModel.writeVisual(at: path) }
    #expect(refusal == "exists already; choose another output or pass --force")
    let stranger = problem { try TinyModel.writeVisual(at: path, overwrite: true) }
    #expect(stranger == "exists and is not a .vtwm file; choose another output")
    #expect(try folder.read("a.vtwm") == [1, 2, 3])
    try folder.write([0x89] + Array("VTW\r\n\u{1A}\n".utf8) + [1], as: "a.vtwm")
    try TinyModel.writeVisual(at: path, overwrite: true)
    _ = try VTWMFile(opening: path)
    #expect(folder.names == ["a.vtwm"])
  }

  @Test func fileThatAppearsMeanwhileIsKept() throws {
    let path = folder.file("a.vtwm")
    let writer = try TinyModel.writer(TinyModel.textOnly, at: path)
    try folder.write([7], as: "a.vtwm")
    let refusal = problem { try writer.seal(schedule: .full(layerCount: 1)) }
    #expect(refusal == "was created by somebody else meanwhile")
    #expect(try folder.read("a.vtwm") == [7])
  }

  @Test func inputIsNeverTheOutput() throws {
    let input = try folder.write([1], as: "model.safetensors")
    let link = folder.file("out.vtwm")
    #expect(unsafe Glibc.link(input, link) == 0)
    let refusal = problem {
      _ = try TinyModel.writer(
        TinyModel.textOnly, at: link, overwrite: true, inputs: [folder.file("none"), input])
    }
    #expect(refusal == "is also an input; choose another output")
  }

  @Test func placesThatCannotBeWrittenAreRefusedAtOnce() throws {
    let inside = problem { try TinyModel.writeTextOnly(at: folder.file("no/such/a.vtwm")) }
    #expect(inside == "cannot be written: No such file or directory")
    let device = problem { try TinyModel.writeTextOnly(at: "/dev/null") }
    #expect(device?.contains("not a regular file") == true)
    #expect(problem { try TinyModel.writeTextOnly(at: folder.path) }?.contains("regular") == true)
  }

  @Test func mappedTensorsAreWhatWasWritten() throws {
    let writer = try TinyModel.writer(
      TinyModel.visual, at: folder.file("a.vtwm"), encodings: TinyModel.encodings)
    let tensors = try writer.mapTensors()
    for (index, key) in writer.order.enumerated() {
      let view = try #require(tensors[key])
      #expect(view.region.copy(view.byteRange) == TinyModel.bytes(index, view.layout))
    }
    // They stay when the file is sealed and the writer gone.
    try writer.seal(schedule: TinyModel.schedule)
    let norm = try #require(tensors[.finalNorm])
    #expect(norm.floats[1] == TinyModel.value(50, 1, 0, .f32))
  }

  @Test func newPlanLeavesTheWeightsWhereTheyAre() throws {
    try TinyModel.writeVisual(at: folder.file("a.vtwm"))
    let old = try VTWMFile(opening: folder.file("a.vtwm"))
    let writer = try VTWMWriter(
      path: folder.file("b.vtwm"), contents: TinyModel.visual, encodings: TinyModel.encodings,
      inputs: [old.path], room: TinyModel.room)
    try writer.copyWeights(from: old)
    try writer.seal(schedule: .full(layerCount: 2))
    let new = try VTWMFile(opening: folder.file("b.vtwm"))
    try new.verify()
    #expect(new.tensorInfos == old.tensorInfos)
    #expect(new.contentID != old.contentID)
    #expect(new.schedule == .full(layerCount: 2))
    let weights = old.groups[0].byteRange.lowerBound..<old.groups[5].byteRange.upperBound
    #expect(new.region.copy(weights) == old.region.copy(weights))
  }

  /// Between file systems nothing can be shared; the bytes are copied then.
  @Test(.enabled(if: PathKind(of: "/dev/shm") == .folder))
  func weightsCrossFileSystems() throws {
    try TinyModel.writeVisual(at: folder.file("a.vtwm"))
    let old = try VTWMFile(opening: folder.file("a.vtwm"))
    let path = "/dev/shm/vtwm-test-\(getpid()).vtwm"
    defer { unsafe unlink(path) }
    let writer = try VTWMWriter(
      path: path, contents: VTWMContents(old), encodings: TinyModel.encodings, overwrite: true,
      room: VTWMWriter.FrontRoom(profileNames: Array(repeating: "x", count: 1000)))
    try writer.copyWeights(from: old)
    try writer.seal(schedule: .full(layerCount: 2))
    let new = try VTWMFile(opening: path)
    try new.verify()
    #expect(new.groups[0].byteRange.lowerBound != old.groups[0].byteRange.lowerBound)
    #expect(new.tensorInfos.map(\.crc) == old.tensorInfos.map(\.crc))
  }

  @Test func damagedWeightsAreNotCopied() throws {
    try TinyModel.writeTextOnly(at: folder.file("a.vtwm"))
    var bytes = try folder.read("a.vtwm")
    let first = try VTWMFile(opening: folder.file("a.vtwm")).groups[0].byteRange.lowerBound
    bytes[first] ^= 1
    let damaged = try VTWMFile(opening: folder.write(bytes, as: "a.vtwm"))
    let writer = try VTWMWriter(
      path: folder.file("b.vtwm"), contents: TinyModel.textOnly, encodings: [:])
    let refusal = problem { try writer.copyWeights(from: damaged) }
    #expect(refusal == "tensor 'text.embedding': checksum is wrong; the file is damaged")
  }

  @Test func planTooLargeForItsRoomIsRefused() throws {
    let writer = try TinyModel.writer(TinyModel.visual, at: folder.file("a.vtwm"))
    let profiles = (0..<256).map {
      ScheduleProfile(
        name: String(repeating: "x", count: 200) + String($0), withdrawingAt: 1, of: 2)
    }
    let refusal = problem {
      try writer.seal(schedule: TokenSchedule(layerCount: 2, profiles: profiles))
    }
    #expect(refusal?.contains("bytes more than there is room for") == true, "\(refusal ?? "")")
  }

  @Test func fullDiskIsOneErrorAndLeavesNothing() async {
    // In a process of its own, because the limit that stands for a full disk is the process's.
    await #expect(processExitsWith: .success) {
      let folder = try TemporaryFolder()
      var limit = rlimit(rlim_cur: 8192, rlim_max: 8192)
      signal(SIGXFSZ, SIG_IGN)
      unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
      do {
        try TinyModel.writeTextOnly(at: folder.file("a.vtwm"))
        exit(1)
      } catch let error as InputError {
        exit(error.problem == "cannot be written: File too large" && folder.names.isEmpty ? 0 : 2)
      }
    }
  }

  @Test func killedWriterLeavesNothing() async throws {
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = folder.file("a.vtwm") as String] in
      let writer = try TinyModel.writer(TinyModel.textOnly, at: path)
      // Where files need a name, a signal that can be handled would remove it.
      if let pending = writer.pendingPath { unsafe unlink(pending) }
      kill(getpid(), SIGKILL)
    }
    #expect(folder.names.isEmpty)
  }
}

@Suite struct OpeningTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func problem(_ path: String) -> String? {
    do {
      _ = try VTWMFile(opening: path)
      return nil
    } catch { return error.problem }
  }

  @Test func onlyReadableRegularFilesOpen() throws {
    #expect(problem(folder.file("none")) == "No such file or directory")
    #expect(problem(folder.path) == "is a folder, not a file")
    #expect(unsafe mkfifo(folder.file("fifo"), 0o600) == 0)
    #expect(problem(folder.file("fifo")) == "is not a regular file")
    #expect(problem("/dev/null") == "is not a regular file")
  }

  @Test func fileReplacedByRenameStaysReadable() throws {
    let path = folder.file("a.vtwm")
    try TinyModel.writeVisual(at: path)
    let file = try VTWMFile(opening: path)
    try TinyModel.writer(TinyModel.textOnly, at: path, overwrite: true)
      .seal(schedule: .full(layerCount: 1))
    try file.verify()
    #expect(try VTWMFile(opening: path).configuration == TinyModel.textOnly.configuration)
  }
}
