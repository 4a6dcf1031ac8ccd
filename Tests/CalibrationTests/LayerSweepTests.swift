import Architecture
import Calibration
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct LayerSweepTests {
  private static func configuration(layers: Int) -> ModelConfiguration {
    var configuration = TinyModel.configuration
    configuration.text.layerCount = layers
    configuration.text.contextLength = 1024
    return configuration
  }

  /// The logits at the answer rows by the ordinary forward pass, row by row.
  private static func bruteForce(
    _ input: SweepInput, _ profile: ScheduleProfile, model: Model,
    precision: KeyValueRows.Precision
  ) throws -> [[Float]] {
    let session = Session(model, profile: profile, precision: precision)
    let end = input.answerRows.lowerBound + 1
    var prompt = input.input
    prompt.ids.removeLast(prompt.ids.count - end)
    prompt.classes.removeLast(prompt.classes.count - end)
    var logits = [try session.prefill(prompt, visual: input.visual).copy()]
    for row in end..<input.input.ids.count {
      logits.append(session.step(input.input.ids[row]).copy())
    }
    return logits
  }

  /// Every K run by itself through the ordinary forward pass, against the sweep: text before the
  /// image, none there, several images, none, and more branch rows than go through at once.
  @Test(arguments: [KeyValueRows.Precision.f32, .f16])
  func equalsBruteForce(precision: KeyValueRows.Precision) throws {
    let configuration = Self.configuration(layers: 5)
    let layerCount = configuration.text.layerCount
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    let inputs = [
      SweepInput.random(before: 2, visual: [9], after: 2, answer: 2, seed: 0),
      SweepInput.random(before: 2, visual: [9, 9], after: 3, answer: 2, seed: 1),
      SweepInput.random(before: 4, visual: [], after: 3, answer: 2, seed: 2),
      SweepInput.random(before: 0, visual: [9], after: 1, answer: 0, seed: 3),
      SweepInput.random(before: 3, visual: [9], after: 400, answer: 1, seed: 4),
    ]
    var seen = 0
    let work = LayerSweep(model, precision: precision).run(inputs, progress: { _ in true }) {
      index, finding in
      let (full, branches) = (finding.full, finding.branches)
      seen += 1
      for k in 0...layerCount {
        guard
          let expected = try? Self.bruteForce(
            inputs[index], ScheduleProfile(withdrawingAt: k, of: layerCount), model: model,
            precision: precision)
        else {
          Issue.record("prefill failed")
          return
        }
        #expect(expected.count == full.count)
        for (position, logits) in expected.enumerated() {
          let found =
            k == layerCount
            ? full[position..<position + 1]
            : branches[k * full.count + position..<k * full.count + position + 1]
          expectClose(
            found.copy(), logits, relative: precision == .f32 ? 1e-5 : 1e-3,
            "sample \(index), K = \(k), position \(position)")
        }
      }
    }
    #expect(seen == inputs.count && work != nil)
  }

  /// Every schedule of the grid by itself through the ordinary forward pass, against the forks;
  /// with the sweep over K beside them, and without.
  @Test(arguments: [KeyValueRows.Precision.f32, .f16], [true, false])
  func forksEqualBruteForce(precision: KeyValueRows.Precision, withdraws: Bool) throws {
    let configuration = Self.configuration(layers: 4)
    let layerCount = configuration.text.layerCount
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    let inputs = [
      SweepInput.random(before: 2, visual: [9], after: 2, answer: 2, seed: 0),
      SweepInput.random(before: 2, visual: [9, 9], after: 3, answer: 2, seed: 1),
      SweepInput.random(before: 4, visual: [], after: 3, answer: 2, seed: 2),
      SweepInput.random(before: 0, visual: [9], after: 1, answer: 0, seed: 3),
    ]
    let plan = LayerSweep.Plan(
      withdraws: withdraws, forks: ScheduleFork.all(layerCount: layerCount))
    let points = plan.points
    #expect(points.count == 14)
    var seen = 0
    LayerSweep(model, precision: precision, plan: plan).run(inputs, progress: { _ in true }) {
      index, finding in
      seen += 1
      guard inputs[index].visual != nil else {
        #expect(finding.schedules.count == 0)
        return
      }
      let answers = inputs[index].answerRows.count
      for (place, point) in points.enumerated() {
        let profile = ScheduleProfile(
          name: "", freezingAt: point.freeze, withdrawingAt: point.withdraw, of: layerCount)
        guard
          let expected = try? Self.bruteForce(
            inputs[index], profile, model: model, precision: precision)
        else {
          Issue.record("prefill failed")
          return
        }
        for (position, logits) in expected.enumerated() {
          let row = place * answers + position
          expectClose(
            finding.schedules[row..<row + 1].copy(), logits,
            relative: precision == .f32 ? 1e-5 : 1e-3, "sample \(index), \(point), \(position)")
        }
        guard
          let whole = try? FullPass(model, precision: precision, profile: profile)
            .run([inputs[index]])
        else {
          Issue.record("the pass ended")
          return
        }
        expectClose(
          model.decoder.logits(whole[0]).copy(), expected.flatMap { $0 },
          relative: precision == .f32 ? 1e-5 : 1e-3, "sample \(index), \(point), whole")
      }
    }
    #expect(seen == inputs.count)
  }

  /// The search for a schedule of 32 layers, counted in operations of LLaVA-1.5-7B: what passes
  /// is made up so that the search has much to do.  LLaVA-1.5's template has 35 rows before the
  /// image, others only one.
  @Test(arguments: [(35, 6.1), (1, 8)])
  func searchingSchedulesCostsAtMostEightPrefills(textBefore: Int, most: Double) throws {
    let configuration = Self.configuration(layers: 32)
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    let input = SweepInput.random(
      before: textBefore, visual: [576], after: 64 - textBefore, answer: 7, seed: 1)
    func sweep(_ plan: LayerSweep.Plan) throws -> SweepWork {
      try #require(
        LayerSweep(model, precision: .f16, plan: plan).run([input], progress: { _ in true }) {
          _, _ in
        })
    }
    let text = TextConfiguration(
      layerCount: 32, hiddenSize: 4096, intermediateSize: 11_008, headCount: 32,
      keyValueHeadCount: 32, headDimension: 128, vocabularySize: 32_064, contextLength: 4096,
      normEpsilon: 1e-5, rope: RoPEConfiguration(theta: 10_000))
    let costs = ScheduleCosts(
      ModelConfiguration(
        family: "llava", name: "7b", text: text,
        vision: VisionConfiguration(
          hiddenSize: 1024, intermediateSize: 4096, layerCount: 24, headCount: 16, imageSize: 336,
          patchSize: 14, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [-2],
          keepsClassRow: false),
        projector: ProjectorConfiguration(activation: .gelu, hasBias: true), imageTokenID: 32_000,
        endOfTextIDs: [2]), keyValueRowBytes: 1, textRows: 64)
    let first = ScheduleFork.searching(layerCount: 32)
    #expect(first.map(\.freeze) == Array(0...12) + [16, 20, 24, 28])
    var work = try sweep(LayerSweep.Plan(forks: first))
    var freezing = [Bool?](repeating: nil, count: 32)
    for fork in first { freezing[fork.freeze] = fork.freeze >= 6 }
    var search = ScheduleSearch(withdrawalLayer: 28, freezing: freezing) {
      costs.price($0.states(32))
    }
    var rounds = 0
    while let forks = search.next() {
      work += try sweep(LayerSweep.Plan(withdraws: false, forks: forks))
      rounds += 1
      search.add(
        Dictionary(
          uniqueKeysWithValues: forks.flatMap(\.points).map {
            ($0, $0.withdraw + $0.freeze / 2 >= 24)
          }))
    }
    #expect(search.best == FreezePoint(6, 21))
    let prefills =
      work.operations(text) / SweepWork.prefill(640, layerCount: 32).operations(text)
    #expect(prefills < most && rounds > 2, "\(prefills) prefills in \(rounds) rounds")
  }

  /// What finding an answer left behind gives the same as a full pass over prompt and answer.
  @Test(arguments: [KeyValueRows.Precision.f32, .f16], [[9], [9, 9], []])
  func aPassThatFoundTheAnswerIsNotRunAgain(
    precision: KeyValueRows.Precision, visual: [Int]
  ) throws {
    var configuration = Self.configuration(layers: 5)
    configuration.endOfTextIDs = []
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    let prompt = SweepInput.random(before: 3, visual: visual, after: 4, answer: 0, seed: 7)
    let answer = try GreedyAnswer(
      prompt.input, visual: prompt.visual, mostTokens: 6, model: model, precision: precision)
    #expect(answer.ids.count == 6)

    var plain = prompt
    plain.input.ids += answer.ids.dropLast()
    plain.input.classes += Array(repeating: .generated, count: 5)
    plain.answerRows = prompt.answerRows.lowerBound..<plain.input.ids.count
    var recorded = plain
    recorded.fullPass = answer.record
    var results: [[Float]] = []
    LayerSweep(model, precision: precision).run([plain, recorded], progress: { _ in true }) {
      _, finding in results += [finding.full.copy(), finding.branches.copy()]
    }
    let tolerance: Float = precision == .f32 ? 1e-5 : 1e-3
    expectClose(results[2], results[0], relative: tolerance, "full pass")
    expectClose(results[3], results[1], relative: tolerance, "branches")
    // Greedy: each id leads in the logits before it.
    let width = configuration.text.vocabularySize
    for (position, id) in answer.ids.enumerated() {
      let row = results[0][position * width..<(position + 1) * width]
      #expect(row.max() == row[position * width + Int(id)])
    }
  }

  /// All K of 32 layers for at most three prefills, of 576 image rows and 64 text rows with 8 answer
  /// positions, counted in operations of LLaVA-1.5-7B.  The published search takes 28.
  @Test(arguments: [true, false], [35, 1])
  func allLayersCostAtMostThreePrefills(hasAnswer: Bool, textBefore: Int) throws {
    let configuration = Self.configuration(layers: 32)
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    var input = SweepInput.random(
      before: textBefore, visual: [576], after: 64 - textBefore, answer: hasAnswer ? 7 : 0, seed: 1)
    var work = SweepWork()
    if !hasAnswer {
      let found = try GreedyAnswer(
        input.input, visual: input.visual, mostTokens: 8, model: model, precision: .f16)
      input.input.ids += found.ids.dropLast()
      input.input.classes += found.ids.dropLast().map { _ in .generated }
      input.answerRows = 639..<input.input.ids.count
      input.fullPass = found.record
      work = found.work
    }
    work += try #require(
      LayerSweep(model, precision: .f16).run([input], progress: { _ in true }) { _, _ in })
    let text = TextConfiguration(
      layerCount: 32, hiddenSize: 4096, intermediateSize: 11_008, headCount: 32,
      keyValueHeadCount: 32, headDimension: 128, vocabularySize: 32_064, contextLength: 4096,
      normEpsilon: 1e-5, rope: RoPEConfiguration(theta: 10_000))
    let prefills =
      work.operations(text) / SweepWork.prefill(640, layerCount: 32).operations(text)
    #expect(prefills < 3, "\(prefills)")
    #expect(textBefore == 1 || prefills < 2, "\(prefills)")
  }

  @Test func endsWhenProgressSaysSo() throws {
    let model = try Model(TinyModel.configuration, try TinyModel.tensors(), Compute(threads: 1))
    let inputs = (0..<3).map {
      SweepInput.random(before: 2, visual: [9], after: 3, answer: 1, seed: $0)
    }
    var shares: [Double] = []
    let work = LayerSweep(model, precision: .f32).run(
      inputs,
      progress: {
        shares.append($0)
        return shares.count < 4
      }
    ) { _, _ in Issue.record("an ended sweep has no results") }
    #expect(work == nil && shares == [1, 2, 3, 4].map { Double($0) / 15 })
  }
}
