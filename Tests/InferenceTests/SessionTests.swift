import Architecture
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct SessionTests {
  let model: Model
  let visual: Rows
  static let layerCount = TinyModel.configuration.text.layerCount

  init() throws {
    model = try Model(TinyModel.configuration, try TinyModel.tensors(), Compute(threads: 1))
    visual = Rows(count: 9, width: TinyModel.configuration.text.hiddenSize)
    visual.fill(from: randomFloats(9 * 24, seed: 5))
  }

  /// Text, an image of nine rows, text.
  static let input: ModelInput = {
    let ids: [Int32] = [1, 7, 9] + Array(repeating: 60, count: 9) + [11, 13, 17, 19]
    let classes: [TokenClass] =
      [.system, .system, .system] + Array(repeating: .visual, count: 9)
      + [.user, .user, .user, .user]
    return ModelInput(ids: ids, classes: classes, imageCount: 1, imageRanges: [3..<12])
  }()

  private func logits(_ profile: ScheduleProfile, steps: [Int32] = [], chunked: Bool = false) throws
    -> [Float]
  {
    let session = Session(model, profile: profile, precision: .f32)
    var result: Rows
    if chunked {
      // The prompt in two turns: the second begins inside the image.
      let input = Self.input
      _ = try session.prefill(
        ModelInput(
          ids: Array(input.ids[..<7]), classes: Array(input.classes[..<7]), imageCount: 1,
          imageRanges: [3..<7]), visual: visual[0..<4])
      result = try session.prefill(
        ModelInput(
          ids: Array(input.ids[7...]), classes: Array(input.classes[7...]), imageCount: 1,
          imageRanges: [0..<5]), visual: visual[4..<9])
    } else {
      result = try session.prefill(Self.input, visual: visual)
    }
    for token in steps { result = session.step(token) }
    return result.copy()
  }

  /// What was said after the mark leaves nothing behind.
  @Test(arguments: [0, 1, 2], KeyValueRows.Precision.allCases)
  func rewindingGivesTheSameAgain(k: Int, precision: KeyValueRows.Precision) throws {
    let session = Session(model, profile: withdrawing(at: k), precision: precision)
    _ = try session.prefill(Self.input, visual: visual)
    let mark = session.mark
    let once = [3, 5, 8].map { session.step($0).copy() }
    let bytes = session.keyValueBytes
    session.rewind(to: mark)
    #expect(session.position == Self.input.ids.count && session.rowCount(of: .generated) == 0)
    _ = session.step(40)
    _ = session.step(41)
    session.rewind(to: mark)
    #expect([3, 5, 8].map { session.step($0).copy() } == once)
    #expect(session.keyValueBytes == bytes)
  }

  private func withdrawing(at k: Int) -> ScheduleProfile {
    ScheduleProfile(withdrawingAt: k, of: Self.layerCount)
  }

  @Test func withdrawalAtLastLayerEqualsFullModel() throws {
    let full = ScheduleProfile(
      name: "one segment",
      segments: [ScheduleSegment(layers: 0..<Self.layerCount, classes: .all)])
    #expect(try logits(withdrawing(at: Self.layerCount), steps: [3]) == logits(full, steps: [3]))
  }

  @Test func everyWithdrawalLayerGivesItsOwnAnswer() throws {
    let all = try (0...Self.layerCount).map { try logits(withdrawing(at: $0), steps: [3, 4]) }
    for (index, one) in all.enumerated() {
      for other in all[..<index] { #expect(one != other) }
    }
  }

  @Test(arguments: 0...layerCount)
  func chunksGiveTheSameLogits(k: Int) throws {
    let whole = try logits(withdrawing(at: k), steps: [3, 4])
    let parts = try logits(withdrawing(at: k), steps: [3, 4], chunked: true)
    expectClose(parts, whole, relative: 1e-5)
  }

  @Test(arguments: 0...layerCount)
  func frozenForNoLayerEqualsWithdrawal(k: Int) throws {
    let frozenNowhere = ScheduleProfile(
      name: "a = b = K",
      segments: [
        ScheduleSegment(layers: 0..<k, classes: .all),
        ScheduleSegment(layers: k..<k, classes: .all, frozen: .visual),
        ScheduleSegment(layers: k..<Self.layerCount, classes: .text),
      ])
    #expect(try logits(frozenNowhere, steps: [3]) == logits(withdrawing(at: k), steps: [3]))
  }

  /// A frozen row still gives keys and values, so freezing differs from withdrawing and from
  /// running in full; in the last layer visual rows give nothing but keys and values anyway.
  @Test func freezingTheLastLayerChangesNothing() throws {
    let last = Self.layerCount - 1
    let frozen = ScheduleProfile(
      name: "freeze",
      segments: [
        ScheduleSegment(layers: 0..<last, classes: .all),
        ScheduleSegment(layers: last..<last + 1, classes: .all, frozen: .visual),
      ])
    expectClose(
      try logits(frozen, steps: [3]), try logits(withdrawing(at: Self.layerCount), steps: [3]),
      relative: 1e-5)
    let early = ScheduleProfile(
      name: "freeze",
      segments: [
        ScheduleSegment(layers: 0..<1, classes: .all),
        ScheduleSegment(layers: 1..<Self.layerCount, classes: .all, frozen: .visual),
      ])
    #expect(try logits(early) != logits(withdrawing(at: Self.layerCount)))
    #expect(try logits(early) != logits(withdrawing(at: 1)))
  }

  private func freezing(_ a: Int, _ b: Int) -> ScheduleProfile {
    ScheduleProfile(name: "\(a)-\(b)", freezingAt: a, withdrawingAt: b, of: Self.layerCount)
  }

  /// Frozen nowhere is withdrawal, and never withdrawn as well is the full model, bit by bit.
  @Test(arguments: [KeyValueRows.Precision.f32, .f16, .q8])
  func schedulesWithoutFrozenLayersChangeNoBit(precision: KeyValueRows.Precision) throws {
    for k in 0...Self.layerCount {
      var found: [[Float]] = []
      for profile in [freezing(k, k), withdrawing(at: k)] {
        let session = Session(model, profile: profile, precision: precision)
        found.append(try session.prefill(Self.input, visual: visual).copy())
        found.append(session.step(3).copy())
      }
      #expect(found[0] == found[2] && found[1] == found[3], "K = \(k)")
    }
    #expect(freezing(Self.layerCount, Self.layerCount).segments.count == 1)
  }

  /// Chunks of any size, one of image rows alone among them, see what the whole prompt sees.
  @Test(arguments: [(0, 5), (1, 3), (0, 2), (2, 5)])
  func frozenChunksGiveTheSameLogits(a: Int, b: Int) throws {
    let whole = try logits(freezing(a, b), steps: [3, 4])
    expectClose(
      try logits(freezing(a, b), steps: [3, 4], chunked: true), whole, relative: 1e-5)
    let session = Session(model, profile: freezing(a, b), precision: .f32)
    let input = Self.input
    for range in [0..<4, 4..<10, 10..<13, 13..<16] {
      // The middle of the image alone has no row to predict from, so it follows a token.
      var part = ModelInput(
        ids: Array(input.ids[range]), classes: Array(input.classes[range]), imageCount: 0,
        imageRanges: [])
      let image = range.clamped(to: 3..<12)
      if !image.isEmpty {
        part.imageCount = 1
        part.imageRanges = [
          image.lowerBound - range.lowerBound..<image.upperBound - range.lowerBound
        ]
      }
      let rows = image.isEmpty ? nil : visual[image.lowerBound - 3..<image.upperBound - 3]
      if part.classes.allSatisfy({ $0 == .visual }) {
        #expect(throws: InputError.self) { _ = try session.prefill(part, visual: rows) }
        return
      }
      _ = try session.prefill(part, visual: rows)
    }
  }

  /// Several images, text between them, and one in a later turn: rows freeze by their class alone.
  /// With every row's cache as the only memory, a schedule equals one row at a time.
  @Test(
    arguments: ["0-5", "1-4", "2-5", "layers=0,2,4", "layers=3"], [KeyValueRows.Precision.f32, .q8])
  func severalImagesFreezeAsOneRowAtATime(
    schedule: String, precision: KeyValueRows.Precision
  ) throws {
    let profile = try #require(ScheduleProfile(schedule, of: Self.layerCount))
    let classes: [TokenClass] =
      [
        .system, .visual, .visual, .user, .visual, .user, .user, .generated, .visual, .visual,
        .user,
      ]
    let width = TinyModel.configuration.text.hiddenSize
    let values = randomFloats(classes.count * width, seed: 8)
    func run(_ ranges: [Range<Int>]) -> [Float] {
      let cache = KeyValueCache(TinyModel.configuration.text, precision: precision)
      let scratch = Scratch(TinyModel.configuration.text, capacity: classes.count)
      var last: [Float] = []
      for range in ranges {
        var rows = DecoderRows(
          hidden: Rows(count: range.count, width: width), positions: range.map(Int32.init),
          classes: Array(classes[range]))
        rows.hidden.fill(
          from: Array(values[range.lowerBound * width..<range.upperBound * width]))
        model.decoder.forward(&rows, profile: profile, cache: cache, scratch: scratch)
        if rows.count > 0 { last = rows.hidden[rows.count - 1..<rows.count].copy() }
      }
      return last
    }
    let single = run(classes.indices.map { $0..<$0 + 1 })
    let tolerance: Float = precision == .f32 ? 1e-5 : 1e-3
    expectClose(run([0..<11]), single, relative: tolerance, "whole")
    expectClose(run([0..<8, 8..<11]), single, relative: tolerance, "two turns")
    expectClose(run([0..<2, 2..<3, 3..<9, 9..<11]), single, relative: tolerance, "chunks")
  }

  @Test func aPromptThatEndsInFrozenRowsAnswersFromItsText() throws {
    let image = ModelInput(
      ids: Array(repeating: 60, count: 9), classes: Array(repeating: .visual, count: 9),
      imageCount: 1, imageRanges: [0..<9])
    let session = Session(model, profile: freezing(1, 5), precision: .f32)
    #expect(throws: InputError.self) { _ = try session.prefill(image, visual: visual) }
    let behind = ModelInput(
      ids: [1, 7] + image.ids, classes: [.user, .user] + image.classes, imageCount: 1,
      imageRanges: [2..<11])
    let other = Session(model, profile: withdrawing(at: 1), precision: .f32)
    #expect(
      try session.prefill(behind, visual: visual).copy()
        == other.prefill(behind, visual: visual).copy())
  }

  @Test func cacheHoldsTextRowsOnlyAfterTheWithdrawal() throws {
    let session = Session(model, profile: withdrawing(at: 2), precision: .f32)
    _ = try session.prefill(Self.input, visual: visual)
    _ = session.step(3)
    let bytes = session.keyValueBytes
    let perRow = 2 * TinyModel.configuration.text.keyValueWidth * 4
    #expect(bytes.visual == 2 * 9 * perRow)
    #expect(bytes.text == 5 * 8 * perRow)
    #expect(session.position == 17)
  }

  @Test func aPromptThatDoesNotFitIsRefusedAndChangesNothing() throws {
    let session = Session(model, profile: withdrawing(at: 2), precision: .f32)
    let many = ModelInput(
      ids: Array(repeating: 4, count: 129), classes: Array(repeating: .user, count: 129),
      imageCount: 0, imageRanges: [])
    #expect(throws: InputError.self) { _ = try session.prefill(many, visual: nil) }
    #expect(session.position == 0)
    #expect(throws: InputError.self) {
      let none = ModelInput(ids: [], classes: [], imageCount: 0, imageRanges: [])
      _ = try session.prefill(none, visual: nil)
    }
  }

  @Test(arguments: [2, 8])
  func threadsDoNotChangeABit(count: Int) throws {
    let other = try Model(
      TinyModel.configuration, try TinyModel.tensors(), Compute(threads: count))
    let session = Session(other, profile: withdrawing(at: 3), precision: .f16)
    let reference = Session(model, profile: withdrawing(at: 3), precision: .f16)
    let found = try session.prefill(Self.input, visual: visual).copy()
    #expect(try reference.prefill(Self.input, visual: visual).copy() == found)
    #expect(reference.step(5).copy() == session.step(5).copy())
  }
}
