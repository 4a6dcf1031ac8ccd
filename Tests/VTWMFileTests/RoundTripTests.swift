import Architecture
import TensorCore
import Testing
import VTWMFile

@Suite struct RoundTripTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func everythingReadsBackAsItWasWritten() throws {
    let path = folder.file("tiny.vtwm")
    try TinyModel.writeVisual(at: path)
    let file = try VTWMFile(opening: path)
    #expect(file.configuration == TinyModel.visual.configuration)
    #expect(file.imageSteps == TinyModel.visual.imageSteps)
    #expect(file.tokenizer == TinyModel.visual.tokenizer)
    #expect(file.template == TinyModel.visual.template)
    #expect(file.schedule == TinyModel.schedule)
    #expect(file.keyValuePrecision == .f16)
    #expect(file.calibration?.canonicalText == TinyModel.calibration.canonicalText)
    #expect(file.provenance?.canonicalText == TinyModel.provenance.canonicalText)
    #expect(file.layers.map(\.kl) == TinyModel.layerKL)
    #expect(file.layers.map(\.truncated) == [false, true])
    #expect(file.layers.map(\.group) == [3, 4])
    #expect(file.contentID.count == 64)
    #expect(try file.byteCount == folder.read("tiny.vtwm").count)
    try file.verify()
  }

  @Test func weightsReadBackAsTheyWereWritten() throws {
    let path = folder.file("tiny.vtwm")
    try TinyModel.writeVisual(at: path)
    for mapping in [true, false] {
      let file = try VTWMFile(opening: path, mapping: mapping)
      for (index, info) in file.tensorInfos.enumerated() {
        let view = try #require(file.tensors[info.key])
        #expect(view.byteRange == info.byteRange)
        #expect(view.shape == info.shape)
        #expect(info.encoding == TinyModel.encodings[info.key] ?? .f32)
        #expect(info.sourceType == TinyModel.sourceTypes[info.key] ?? "unknown")
        #expect(info.sourceCRC == UInt32(index))
        #expect(info.name == info.key.description)
        let expected = TinyModel.bytes(index, view.layout)
        #expect(file.region.copy(info.byteRange) == expected)
        #expect(info.crc == CRC32(of: expected).value)
      }
      #expect(file.tensorInfos.count == file.tensors.keys.count)
    }
  }

  @Test func groupsFollowTheOrderOfExecution() throws {
    let path = folder.file("tiny.vtwm")
    try TinyModel.writeVisual(at: path)
    let file = try VTWMFile(opening: path)
    #expect(
      file.groups.map(\.name) == [
        "vision", "projector", "embedding", "layer 0", "layer 1", "output",
      ])
    for group in file.groups {
      #expect(group.byteRange.lowerBound.isMultiple(of: 4096))
      for key in group.keys {
        let view = try #require(file.tensors[key])
        #expect(group.byteRange.contains(view.byteRange.lowerBound))
        #expect(view.byteRange.lowerBound.isMultiple(of: 64))
      }
    }
    #expect(file.groups.flatMap(\.keys) == file.tensorInfos.map(\.key))
  }

  @Test func sectionsStandInTheirOrder() throws {
    let path = folder.file("tiny.vtwm")
    try TinyModel.writeVisual(at: path)
    let types = try VTWMFile(opening: path).sections.map(\.type.letters)
    #expect(
      types == ["MODL", "TDIR", "LAYR", "PLAN", "IPRE"] + Array(repeating: "WGTS", count: 6)
        + ["TOKN", "cHAt", "cALB", "pROV"])
  }

  @Test func textOnlyModelNeedsNoImageSteps() throws {
    let path = folder.file("text.vtwm")
    try TinyModel.writeTextOnly(at: path)
    let file = try VTWMFile(opening: path)
    #expect(file.configuration == TinyModel.textOnly.configuration)
    #expect(file.imageSteps == nil)
    #expect(file.schedule == .full(layerCount: 1))
    #expect(file.calibration == nil)
    #expect(file.layers.map(\.truncated) == [false])
    #expect(file.groups.map(\.name) == ["embedding", "layer 0", "output"])
    try file.verify()
  }

  @Test func firstWeightsStartAt64KiBUnlessToldOtherwise() throws {
    let path = folder.file("text.vtwm")
    let writer = try VTWMWriter(path: path, contents: TinyModel.textOnly, encodings: [:])
    try writeZeros(writer)
    try writer.seal(schedule: .full(layerCount: 1))
    #expect(try VTWMFile(opening: path).groups[0].byteRange.lowerBound == 65_536)
  }

  private func writeZeros(_ writer: VTWMWriter) throws {
    let specifications = TinyModel.textOnly.configuration.tensorGroups.flatMap { $0 }
    for specification in specifications {
      writer.begin(specification.key)
      let count = try #require(specification.shape.elementCount)
      try writer.append([UInt8](repeating: 0, count: 4 * count))
      try writer.end()
    }
  }

  /// Parts of a model that the tiny ones do not have.
  static let variations: [@Sendable (inout VTWMContents) -> Void] = [
    { $0.configuration.text.rope.scaling = .linear(factor: 2.5) },
    { $0.configuration.text.rope.scaling = .none },
    { $0.configuration.text.rope.theta = 1_000_000.1 },
    { $0.configuration.text.normEpsilon = Float(bitPattern: 0x3727_C5AD) },
    { $0.configuration.text.activation = .geluTanh },
    { $0.configuration.text.isHeadTied = true },
    { $0.configuration.text.hasQueryKeyValueBias = false },
    { $0.configuration.text.hasOutputBias = true },
    { $0.configuration.text.hasMLPBias = true },
    { $0.configuration.vision?.featureLayers = [0] },
    { $0.configuration.vision?.keepsClassRow = false },
    { $0.configuration.projector?.hasBias = false },
    { $0.configuration.endOfTextIDs = [] },
    {
      // The placeholder may lie just past the embedding.
      $0.configuration.text.vocabularySize = 12
      $0.configuration.imageTokenID = 12
    },
    { $0.imageSteps?.resize = .exact(size: 4) },
    {
      $0.imageSteps?.resize = .shortestEdge(size: 7)
      $0.imageSteps?.cropSize = 4
    },
    {
      $0.imageSteps?.resize = .none
      $0.imageSteps?.filter = .lanczos
    },
    { $0.imageSteps?.rescaleFactor = 0.1 + 0.2 },
    { $0.template.opening = "line\n\"quoted\" \\ tab\t\u{1F418}\u{301}" },
    { $0.template.imagePlaceholder = "<image" },
    { $0.tokenizer.flags = TokenizerModel.Flags(rawValue: 0x3FF) },
    { $0.tokenizer.padID = 12 },
    {
      $0.tokenizer.bosID = nil
      $0.tokenizer.unknownID = nil
    },
    {
      $0.tokenizer.kind = .sentencePieceScores
      $0.tokenizer.merges = []
    },
    {
      $0.tokenizer.kind = .byteLevel
      $0.tokenizer.splitter = .digitsGPT2
      $0.tokenizer.pieces[9].bytes = [0xC3]
    },
    { $0.tokenizer.tests = [] },
    { $0 = TinyModel.tiled },
    {
      $0 = TinyModel.tiled
      $0.configuration.vision?.kind = .clip
      $0.configuration.vision?.tiling?.thinningLimit = nil
      $0.imageSteps?.resizeOfSeveral = nil
    },
    {
      $0.configuration.vision?.kind = .siglip
      $0.configuration.vision?.keepsClassRow = false
    },
    { $0.template.questionStart = "\n" },
  ]

  @Test(arguments: variations.indices)
  func variationReadsBack(_ index: Int) throws {
    var contents = TinyModel.visual
    Self.variations[index](&contents)
    #expect(contents != TinyModel.visual)
    let path = folder.file("tiny.vtwm")
    try TinyModel.writer(contents, at: path).seal(schedule: .full(layerCount: 2))
    let file = try VTWMFile(opening: path)
    #expect(
      VTWMContents(
        configuration: file.configuration, imageSteps: file.imageSteps, tokenizer: file.tokenizer,
        template: file.template) == contents)
    try file.verify()
  }

  @Test(arguments: [
    [ScheduleProfile(withdrawingAt: 0, of: 2)],
    [ScheduleProfile(withdrawingAt: 2, of: 2)],
    [
      ScheduleProfile(
        name: "freeze then withdraw",
        segments: [
          ScheduleSegment(layers: 0..<1, classes: .all, frozen: .visual),
          ScheduleSegment(layers: 1..<2, classes: .text),
        ])
    ],
    // Rows that froze may be updated again.
    [ScheduleProfile(name: "layers=1", updating: [1], of: 2)],
    (0...2).map { ScheduleProfile(name: "k\($0)", withdrawingAt: $0, of: 2) },
  ])
  func scheduleReadsBack(_ profiles: [ScheduleProfile]) throws {
    let path = folder.file("tiny.vtwm")
    let schedule = TokenSchedule(
      layerCount: 2, profiles: profiles, defaultProfile: profiles.count - 1)
    try TinyModel.writer(TinyModel.visual, at: path).seal(schedule: schedule)
    let file = try VTWMFile(opening: path)
    #expect(file.schedule == schedule)
    let last = try #require(profiles.last)
    #expect(file.layers.map(\.truncated) == (0..<2).map { !last.classes(in: $0).contains(.visual) })
    #expect(file.keyValuePrecision == .f32)
  }
}
