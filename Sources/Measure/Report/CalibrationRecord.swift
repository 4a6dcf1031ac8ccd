package import TensorCore

/// The calibration record of a file as values: `formats/calibration.md`.
///
/// It is read leniently, for another writer may leave members out, and nothing in it is trusted:
/// points stand only where the model has layers.
package struct CalibrationRecord: Equatable, Sendable {
  /// What was measured at one withdrawal layer K; `meanKL` in nats per answer position.
  package struct Point: Equatable, Sendable {
    package var k: Int
    package var meanKL: Double?
    package var meanInterval: ClosedRange<Double>?
    package var p95KL: Double?
    package var maxKL: Double?
    package var agreement: Double?
    package var agreementInterval: ClosedRange<Double>?
  }

  /// How the text rows of one group look at the rows of each class, and what they lose if the image
  /// is missing from a layer on.
  package struct Migration: Equatable, Sendable {
    package var rowCount: Int?
    /// Shares of attention by class, each by layer in `0 ..< layerCount`; absent classes are left
    /// out.
    package var shares: [(name: String, byLayer: [Double])]
    /// Relative change of the rows, by layer in `0 ..< layerCount`; empty if unknown.
    package var change: [Double]

    package static func == (a: Self, b: Self) -> Bool {
      a.rowCount == b.rowCount && a.change == b.change
        && a.shares.elementsEqual(b.shares) { $0 == $1 }
    }
  }

  package struct Task: Equatable, Sendable {
    package var name: String
    package var samples: Int?
    package var positions: Int?
    package var heldOutSamples: Int
    /// What this task alone would take.
    package var k: Int?
    /// By K, without gaps in `0 ..< layerCount` only if the record has none.
    package var curve: [Point]
    package var heldOutCurve: [Point]
    /// Where the image goes, as the question's and as the answer's rows show it.
    package var questionMigration: Migration?
    package var answerMigration: Migration?
    /// What packed weights change against those of the source, without withdrawal.
    package var packing: Point?

    package func point(_ k: Int) -> Point? { curve.first { $0.k == k } }
    package func heldOutPoint(_ k: Int) -> Point? { heldOutCurve.first { $0.k == k } }
  }

  /// A threshold and where it leads.
  package struct Threshold: Equatable, Sendable {
    package var eta: Double
    package var k: Int
    package var operations: Double?
    package var keyValue: Double?
    package var keyValueBytes: Int?
    package var meanKL: Double?
    package var agreement: Double?
    package var heldOutMeanKL: Double?
    package var heldOutAgreement: Double?
  }

  /// What withdrawing at K costs and loses.
  package struct Cost: Equatable, Sendable {
    package var k: Int
    package var operations: Double?
    package var keyValue: Double?
    package var keyValueBytes: Int?
    package var worstMeanKL: Double?
    package var worstTask: String?
    package var isPareto: Bool
  }

  package var layerCount: Int
  package var k: Int?
  package var calibratedK: Int?
  package var rule: String?
  package var eta: Double?
  package var agreement: Double?
  package var direction: String?
  package var answerTokens: Int?
  package var seed: String?
  package var holdout: Double?
  /// Encodings of the packed weights and of the source, where they were compared.
  package var packing: (encoding: String, source: String)? {
    packingEncoding.flatMap { encoding in packingSource.map { (encoding, $0) } }
  }
  private var packingEncoding: String?
  private var packingSource: String?
  package var explanation: [String]
  package var warnings: [String]
  package var refused: [String]
  package var tasks: [Task]
  package var pooled: Task?
  package var thresholds: [Threshold]
  /// By K in `0 ... layerCount`.
  package var costs: [Cost]
  /// Schedules beyond withdrawal; nil if none were looked for.
  package var schedules: Schedules?

  /// - Parameter layerCount: of the model that the record is of.
  package init(_ record: JSONValue, layerCount: Int) {
    let layers = 0...layerCount
    let criterion = record["criterion"]
    self.layerCount = layerCount
    k = Self.layer(record["k"], layers)
    calibratedK = Self.layer(record["k_calibrated"], layers)
    rule = criterion?["rule"]?.stringValue
    eta = criterion?["eta"]?.doubleValue
    agreement = criterion?["agreement"]?.doubleValue
    direction = criterion?["direction"]?.stringValue
    answerTokens = criterion?["answer_tokens"]?.integerValue
    seed = criterion?["seed"]?.stringValue
    holdout = criterion?["holdout"]?.doubleValue
    packingEncoding = record["packing"]?["encoding"]?.stringValue
    packingSource = record["packing"]?["source"]?.stringValue
    explanation = Self.texts(record["explanation"])
    warnings = Self.texts(record["warnings"])
    refused = Self.texts(record["refused"])
    tasks = (record["tasks"]?.arrayValue ?? []).map { Task($0, layers) }
    pooled = record["pooled"].map { Task($0, layers) }
    thresholds = (record["eta"]?.arrayValue ?? []).compactMap { Threshold($0, layers) }
    costs = (record["layer_costs"]?.arrayValue ?? []).compactMap { Cost($0, layers) }
      .sorted { $0.k < $1.k }
    schedules = record["schedules"].map { Schedules($0, layerCount: layerCount) }
  }

  /// The task that withdrawing at `k` hurts most by mean KL; of equals the first.
  package func worstTask(at k: Int) -> (name: String, point: Point)? {
    var worst: (name: String, point: Point)?
    for task in tasks {
      guard let point = task.point(k), let loss = point.meanKL else { continue }
      if loss > worst?.point.meanKL ?? -1 { worst = (task.name, point) }
    }
    return worst
  }

  fileprivate static func layer(_ value: JSONValue?, _ layers: ClosedRange<Int>) -> Int? {
    value?.integerValue.flatMap { layers.contains($0) ? $0 : nil }
  }

  private static func texts(_ value: JSONValue?) -> [String] {
    (value?.arrayValue ?? []).compactMap(\.stringValue)
  }

  /// Two numbers, the lower first.
  fileprivate static func range(_ value: JSONValue?) -> ClosedRange<Double>? {
    guard let bounds = value?.arrayValue, bounds.count == 2, let low = bounds[0].doubleValue,
      let high = bounds[1].doubleValue, low <= high
    else { return nil }
    return low...high
  }
}

extension CalibrationRecord.Point {
  fileprivate init?(_ value: JSONValue, _ layers: ClosedRange<Int>) {
    guard let k = CalibrationRecord.layer(value["k"], layers) else { return nil }
    self.init(measures: value, k: k)
  }

  fileprivate init(measures value: JSONValue, k: Int) {
    self.k = k
    meanKL = value["mean_kl"]?.doubleValue
    meanInterval = CalibrationRecord.range(value["mean_kl_interval"])
    p95KL = value["p95_kl"]?.doubleValue
    maxKL = value["max_kl"]?.doubleValue
    agreement = value["agreement"]?.doubleValue
    agreementInterval = CalibrationRecord.range(value["agreement_interval"])
  }

  fileprivate static func curve(
    _ value: JSONValue?, _ layers: ClosedRange<Int>
  ) -> [CalibrationRecord.Point] {
    (value?.arrayValue ?? []).compactMap { Self($0, layers) }.sorted { $0.k < $1.k }
  }
}

extension CalibrationRecord.Task {
  fileprivate init(_ value: JSONValue, _ layers: ClosedRange<Int>) {
    name = value["name"]?.stringValue ?? "-"
    samples = value["samples"]?.integerValue
    positions = value["positions"]?.integerValue
    heldOutSamples = value["holdout"]?.integerValue ?? 0
    k = CalibrationRecord.layer(value["k"], layers)
    curve = CalibrationRecord.Point.curve(value["curve"], layers)
    heldOutCurve = CalibrationRecord.Point.curve(value["holdout_curve"], layers)
    let migration = value["migration"]
    questionMigration = migration?["question"].flatMap {
      CalibrationRecord.Migration($0, layerCount: layers.upperBound)
    }
    answerMigration = migration?["answer"].flatMap {
      CalibrationRecord.Migration($0, layerCount: layers.upperBound)
    }
    packing = value["packing"].map { CalibrationRecord.Point(measures: $0, k: 0) }
  }
}

extension CalibrationRecord.Migration {
  // The order in which the rows stand in a prompt.
  private static let classes = ["system", "visual", "question", "answer"]

  /// Nil if nothing in it has a value for each layer.
  fileprivate init?(_ value: JSONValue, layerCount: Int) {
    func byLayer(_ key: String) -> [Double]? {
      let values = (value[key]?.arrayValue ?? []).compactMap(\.doubleValue)
      return values.count == layerCount && layerCount > 0 ? values : nil
    }
    rowCount = value["rows"]?.integerValue
    shares = Self.classes.compactMap { name in byLayer(name).map { (name, $0) } }
    change = byLayer("change") ?? []
    guard !shares.isEmpty || !change.isEmpty else { return nil }
  }
}

extension CalibrationRecord.Threshold {
  fileprivate init?(_ value: JSONValue, _ layers: ClosedRange<Int>) {
    guard let eta = value["eta"]?.doubleValue,
      let k = CalibrationRecord.layer(value["k"], layers)
    else { return nil }
    self.eta = eta
    self.k = k
    operations = value["flops_ratio"]?.doubleValue
    keyValue = value["kv_ratio"]?.doubleValue
    keyValueBytes = value["kv_bytes"]?.integerValue
    meanKL = value["mean_kl"]?.doubleValue
    agreement = value["agreement"]?.doubleValue
    heldOutMeanKL = value["holdout_mean_kl"]?.doubleValue
    heldOutAgreement = value["holdout_agreement"]?.doubleValue
  }
}

extension CalibrationRecord.Cost {
  fileprivate init?(_ value: JSONValue, _ layers: ClosedRange<Int>) {
    guard let k = CalibrationRecord.layer(value["k"], layers) else { return nil }
    self.k = k
    operations = value["flops_ratio"]?.doubleValue
    keyValue = value["kv_ratio"]?.doubleValue
    keyValueBytes = value["kv_bytes"]?.integerValue
    worstMeanKL = value["worst_mean_kl"]?.doubleValue
    worstTask = value["worst_task"]?.stringValue
    isPareto = value["pareto"]?.boolValue ?? false
  }
}
