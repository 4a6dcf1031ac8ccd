/// What packed weights change against those of the source, both without withdrawal.
package struct PackingCost: Equatable, Sendable {
  /// How most of the weights are stored, such as "q4".
  package var encoding: String
  /// What they were in the source, in its own words, such as "BF16".
  package var source: String
  /// KL(packed ‖ source) and agreement of every task, and of all: one point each.
  package var curves: CalibrationCurves

  package init(encoding: String, source: String, curves: CalibrationCurves) {
    self.encoding = encoding
    self.source = source
    self.curves = curves
  }

  /// From the samples that were compared; nil if none was.
  package init?(encoding: String, source: String, _ samples: [SampleDivergence]) {
    let compared = samples.compactMap { sample in
      sample.packing.map { packing in
        SampleDivergence(
          task: sample.task, id: sample.id, kl: [packing.kl], agrees: [packing.agrees])
      }
    }
    guard !compared.isEmpty else { return nil }
    self.init(
      encoding: encoding, source: source, curves: CalibrationCurves(compared, layerCount: 1))
  }
}
