import Architecture
import Calibration
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

/// Where the image goes.  That the numbers are right, `ConvertTests` checks against transformers.
@Suite struct MigrationTests {
  private static func migration(
    _ inputs: [SweepInput], headDimension: Int = 6, threads: Int = 2
  ) throws -> [SampleMigration] {
    var configuration = TinyModel.configuration
    configuration.text.headDimension = headDimension
    let model = try Model(
      configuration, try TinyModel.tensors(configuration), Compute(threads: threads))
    var found: [SampleMigration] = []
    LayerSweep(model, precision: .f16).run(inputs, progress: { _ in true }) { _, finding in
      found.append(finding.migration)
    }
    return found
  }

  private static let inputs = [
    SweepInput.random(before: 2, visual: [9], after: 3, answer: 2, seed: 0),
    SweepInput.random(before: 0, visual: [9, 9], after: 4, answer: 0, seed: 1),
    SweepInput.random(before: 5, visual: [], after: 2, answer: 1, seed: 2),
  ]

  /// Every row's attention adds up to 1, also where the heads have fewer columns than there are
  /// classes.
  @Test(arguments: [2, 4, 6])
  func sharesAddUpToOne(headDimension: Int) throws {
    let found = try Self.migration(Self.inputs, headDimension: headDimension)
    #expect(found.map(\.question.rowCount) == [2, 4, 0])
    #expect(found.map(\.answer.rowCount) == [3, 1, 0])
    for sample in found {
      for group in MigrationGroup.allCases {
        for (layer, ticks) in sample[group].ticks.enumerated() {
          let shares = ticks.dropLast().reduce(0) { $0 + Double($1) } * 0x1p-40
          #expect(abs(shares - Double(sample[group].rowCount)) < 1e-4, "\(group), layer \(layer)")
        }
      }
    }
    // Only rows of the answer see rows of the answer.
    let answer = MigrationQuantity.answer.rawValue
    #expect(found.allSatisfy { $0.question.ticks.allSatisfy { $0[answer] == 0 } })
    #expect(found[0].answer.ticks.allSatisfy { $0[answer] > 0 })
    #expect(found[2].answer.ticks.joined().allSatisfy { $0 == 0 })
  }

  @Test func neitherThreadsNorNeighboursChangeABit() throws {
    let whole = try Self.migration(Self.inputs)
    #expect(try Self.migration(Self.inputs, threads: 1) == whole)
    #expect(try Self.migration(Self.inputs.reversed(), threads: 3) == whole.reversed())
    #expect(try Self.inputs.flatMap { try Self.migration([$0]) } == whole)
  }

  /// The pass that finds an answer measures the same as one over prompt and answer.
  @Test func aPassThatFoundTheAnswerMeasuresTheSame() throws {
    var configuration = TinyModel.configuration
    configuration.endOfTextIDs = []
    let model = try Model(configuration, try TinyModel.tensors(configuration), Compute(threads: 2))
    let prompt = SweepInput.random(before: 3, visual: [9], after: 4, answer: 0, seed: 7)
    let answer = try GreedyAnswer(
      prompt.input, visual: prompt.visual, mostTokens: 6, model: model, precision: .f32)
    var plain = prompt
    plain.input.ids += answer.ids.dropLast()
    plain.input.classes += Array(repeating: .generated, count: 5)
    plain.answerRows = prompt.answerRows.lowerBound..<plain.input.ids.count
    var recorded = plain
    recorded.fullPass = answer.record
    var found: [SampleMigration] = []
    LayerSweep(model, precision: .f32).run([plain, recorded], progress: { _ in true }) {
      _, finding in found.append(finding.migration)
    }
    #expect(found[0].answer.rowCount == 6 && found[0].question.rowCount == 3)
    for group in MigrationGroup.allCases {
      #expect(found[0][group].rowCount == found[1][group].rowCount)
      expectClose(
        found[1][group].ticks.joined().map { Float($0) * 0x1p-40 },
        found[0][group].ticks.joined().map { Float($0) * 0x1p-40 }, relative: 1e-5, "\(group)")
    }
  }

  /// A row that loses all it had changes by 1; one that keeps all, by 0.
  @Test func meansWeighEveryRowTheSame() throws {
    func sums(_ rows: Int, _ visual: UInt64, _ change: UInt64) -> SampleMigration.Sums {
      .init(
        rowCount: rows, ticks: [[0, visual << 40, UInt64(rows) << 40 - visual << 40, 0, change]])
    }
    func sample(_ task: String, _ answer: SampleMigration.Sums?) -> SampleDivergence {
      SampleDivergence(
        task: task, id: "", kl: [[0]], agrees: [[true]],
        migration: answer.map { SampleMigration(question: sums(0, 0, 0), answer: $0) })
    }
    let samples = [
      sample("b", sums(1, 1, 1 << 39)), sample("a", sums(3, 0, 0)), sample("b", nil),
      sample("b", sums(3, 2, .max)),
    ]
    let found = try #require(Migration(samples, layerCount: 1))
    #expect(found == Migration(samples.reversed(), layerCount: 1))
    #expect(found.tasks.map(\.name) == ["a", "b"])
    #expect(found.tasks[1].answer[.visual] == [0.75] && found.tasks[1].answer[.question] == [0.25])
    #expect(found.tasks[1].answer[.change][0] > 0x1p21)
    #expect(found.pooled.answer.rowCount == 7 && found.pooled.answer[.visual] == [3.0 / 7])
    #expect(found.pooled.question[.visual] == [0])
    #expect(Migration([sample("a", nil)], layerCount: 1) == nil)
  }

  @Test func sayswhereItGoes() throws {
    func rows(_ visual: [Double], _ change: [Double], count: Int) -> MigrationRows {
      let zeros = visual.map { _ in 0.0 }
      return MigrationRows(rowCount: count, means: [zeros, visual, zeros, zeros, change])
    }
    let kl = [1, 0.5, 0.001, 0.001]
    let curve = TaskCurve(
      name: "t", sampleCount: 9, positionCount: 9,
      points: kl.indices.map {
        CurvePoint(
          k: $0, meanKL: kl[$0], p95KL: 0, maxKL: 0, agreement: 1, firstTokenMeanKL: 0)
      })
    let curves = CalibrationCurves(layerCount: 4, tasks: [curve], pooled: curve)
    func report(_ count: Int, eta: Double = 0.01) -> String {
      let task = TaskMigration(
        name: "t", question: rows([0, 0, 0, 0], [0, 0, 0, 0], count: 0),
        answer: rows([0.5, 0.3, 0.2, 0.1], [0.25, 0.75, 0.03, 0.04], count: count))
      var criterion = Criterion.sustained
      criterion.eta = eta
      return CalibrationReport(
        criterion: criterion,
        setup: CalibrationReport.Setup(answerTokens: 8, seed: 0, holdout: 0), costs: .ones(4),
        curves: curves, holdout: nil, migration: Migration(tasks: [task], pooled: task),
        refused: []
      ).explanation.joined(separator: "\n")
    }
    #expect(
      report(5).contains(
        "rows of answers give the image 40 % before K = 2 and 15 % from K = 2 on of their "
          + "attention; a layer that is the first without it changes them by up to 75 % before "
          + "K = 2 (layer 1) and 4 % from K = 2 on (layer 3)"), "\(report(5))")
    #expect(!report(0).contains("image"))
    #expect(report(5, eta: 1e-9).contains("by up to 75 % before K = 4 (layer 1)"))
    #expect(report(5, eta: 9).contains("27.5 % from K = 0 on of their attention"))
  }

  @Test(arguments: [
    (0.0, "less than a tenth of"), (0.11, "a tenth of"), (0.34, "a third of"), (0.5, "half of"),
    (0.7, "two thirds of"), (1.05, "about as much as"), (1.2, "1.2 times"), (12.4, "12 times"),
    (250, "more than 100 times"),
  ])
  func proportionsInWords(ratio: Double, words: String) {
    var curve = TaskCurve(
      name: "t", sampleCount: 9, positionCount: 9,
      points: [
        CurvePoint(
          k: 0, meanKL: ratio / 1000, p95KL: 0, maxKL: 0, agreement: 1, firstTokenMeanKL: 0)
      ])
    let curves = CalibrationCurves(layerCount: 1, tasks: [curve], pooled: curve)
    curve.points[0].meanKL = 0.001
    let report = CalibrationReport(
      criterion: .quantile(50), setup: .init(answerTokens: 8, seed: 0, holdout: 0),
      costs: .ones(1), curves: curves, holdout: nil,
      packing: PackingCost(
        encoding: "q4", source: "BF16",
        curves: CalibrationCurves(layerCount: 1, tasks: [curve], pooled: curve)),
      refused: [])
    let sentence = report.explanation.last ?? ""
    #expect(sentence.hasPrefix("q4 instead of BF16 costs 0.0010 nats"), "\(sentence)")
    #expect(sentence.hasSuffix(", \(words) that"), "\(sentence)")
  }
}
