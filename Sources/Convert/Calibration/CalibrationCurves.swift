package import Architecture
import Statistics
import TensorCore

/// What was measured at one withdrawal layer K.
package struct CurvePoint: Equatable, Sendable {
  package var k: Int
  /// KL(withdrawn ‖ full) in nats over all answer positions.
  package var meanKL: Double
  package var p95KL: Double
  package var maxKL: Double
  /// Share of answer positions whose most likely token is the same.
  package var agreement: Double
  /// The same mean over the first answer position only.
  package var firstTokenMeanKL: Double
  /// The percentile of KL that the criterion asks for; the 95th unless it names another.
  package var quantileKL: Double
  /// Where the true `meanKL` lies with 95 % confidence; nil for fewer than two samples.
  package var meanInterval: ClosedRange<Double>?
  /// Where the true `agreement` lies with 95 % confidence.
  package var agreementInterval: ClosedRange<Double>

  package init(
    k: Int, meanKL: Double, p95KL: Double, maxKL: Double, agreement: Double,
    firstTokenMeanKL: Double, quantileKL: Double? = nil,
    meanInterval: ClosedRange<Double>? = nil, agreementInterval: ClosedRange<Double> = 0...1
  ) {
    self.k = k
    self.meanKL = meanKL
    self.p95KL = p95KL
    self.maxKL = maxKL
    self.agreement = agreement
    self.firstTokenMeanKL = firstTokenMeanKL
    self.quantileKL = quantileKL ?? p95KL
    self.meanInterval = meanInterval
    self.agreementInterval = agreementInterval
  }
}

/// One task's curve over K = 0 ..< layerCount.
package struct TaskCurve: Equatable, Sendable {
  package var name: String
  package var sampleCount: Int
  /// Answer positions compared.
  package var positionCount: Int
  package var points: [CurvePoint]

  package init(name: String, sampleCount: Int, positionCount: Int, points: [CurvePoint]) {
    self.name = name
    self.sampleCount = sampleCount
    self.positionCount = positionCount
    self.points = points
  }

  /// These questions do not need the image: even without it the answers hardly change.
  package func ignoresImage(eta: Double) -> Bool {
    guard let first = points.first else { return false }
    return first.meanKL <= eta
  }
}

/// All curves of a set of samples.
package struct CalibrationCurves: Equatable, Sendable {
  package var layerCount: Int
  /// By name.
  package var tasks: [TaskCurve]
  /// All samples together.
  package var pooled: TaskCurve

  package init(layerCount: Int, tasks: [TaskCurve], pooled: TaskCurve) {
    self.layerCount = layerCount
    self.tasks = tasks
    self.pooled = pooled
  }
}

/// The comparison of one sample's answer with another: by the source of the weights, or by a schedule.
package struct AnswerDivergence: Equatable, Sendable {
  /// By answer position: KL(this ‖ other) in nats.
  package var kl: [Double]
  /// By answer position: whether the most likely token is the same.
  package var agrees: [Bool]

  package init(kl: [Double], agrees: [Bool]) {
    self.kl = kl
    self.agrees = agrees
  }
}

/// Rows of prompts, without their answers.
package struct PromptRows: Equatable, Sendable {
  package var text = 0
  package var visual = 0

  package init(text: Int = 0, visual: Int = 0) {
    self.text = text
    self.visual = visual
  }

  package static func += (a: inout Self, b: Self) {
    a.text += b.text
    a.visual += b.visual
  }
}

/// The comparison of one sample at every K.
package struct SampleDivergence: Equatable, Sendable {
  package var task: String
  package var id: String
  /// By K, then by answer position: KL(withdrawn ‖ full) in nats.
  package var kl: [[Double]]
  /// By K, then by answer position: whether the most likely token is the same.
  package var agrees: [[Bool]]
  /// Where the image goes; nil if that was not measured.
  package var migration: SampleMigration?
  /// What packing changed; nil if that was not measured.
  package var packing: AnswerDivergence?
  /// What schedules that freeze change, where they were measured; layer by layer what becomes of
  /// visual rows.
  package var schedules: [[ScheduleProfile.VisualState]: AnswerDivergence] = [:]
  /// Rows of the prompt; nil if that was not kept.
  package var promptRows: PromptRows?

  package init(
    task: String, id: String, kl: [[Double]], agrees: [[Bool]], migration: SampleMigration? = nil,
    packing: AnswerDivergence? = nil
  ) {
    self.task = task
    self.id = id
    self.kl = kl
    self.agrees = agrees
    self.migration = migration
    self.packing = packing
  }
}

extension CalibrationCurves {
  /// The task that withdrawing at `k` hurts most by mean KL, with its point; nil without tasks.
  package func worst(at k: Int) -> (name: String, point: CurvePoint)? {
    tasks.map { ($0.name, $0.points[k]) }.max { $0.1.meanKL < $1.1.meanKL }
  }

  /// The part of the curves that belongs to the task `name`, as curves of a set of its own.
  package func only(_ name: String) -> CalibrationCurves? {
    tasks.first { $0.name == name }.map {
      CalibrationCurves(layerCount: layerCount, tasks: [$0], pooled: $0)
    }
  }

  /// Curves of `samples`; their order does not matter.
  ///
  /// - Parameter percentile: which percentile of KL the criterion looks at.
  package init(_ samples: [SampleDivergence], layerCount: Int, percentile: Int = 95) {
    let byTask = Dictionary(grouping: samples, by: \.task)
    self.init(
      layerCount: layerCount,
      tasks: byTask.keys.sorted().map { name in
        TaskCurve(
          name: name, byTask[name] ?? [], layerCount: layerCount, percentile: percentile)
      },
      pooled: TaskCurve(name: "all", samples, layerCount: layerCount, percentile: percentile))
  }
}

extension TaskCurve {
  init(name: String, _ samples: [SampleDivergence], layerCount: Int, percentile: Int) {
    var points: [CurvePoint] = []
    for k in 0..<layerCount {
      var all = DivergenceSum()
      var first = DivergenceSum()
      var sums: [SampleSum] = []
      for sample in samples {
        var own = DivergenceSum()
        for (position, kl) in sample.kl[k].enumerated() {
          own.add(kl: kl, agrees: sample.agrees[k][position])
          if position == 0 { first.add(kl: kl, agrees: sample.agrees[k][position]) }
        }
        sums.append(SampleSum(sum: own.total, count: own.count))
        all.merge(own)
      }
      points.append(
        CurvePoint(
          k: k, meanKL: all.meanDivergence ?? 0, p95KL: all.divergence(percentile: 95) ?? 0,
          maxKL: all.maxDivergence ?? 0, agreement: all.agreement ?? 1,
          firstTokenMeanKL: first.meanDivergence ?? 0,
          quantileKL: all.divergence(percentile: percentile) ?? 0,
          meanInterval: meanInterval(of: sums), agreementInterval: all.agreementInterval))
    }
    self.init(
      name: name, sampleCount: samples.count,
      positionCount: samples.reduce(0) { $0 + ($1.kl.first?.count ?? 0) }, points: points)
  }
}
