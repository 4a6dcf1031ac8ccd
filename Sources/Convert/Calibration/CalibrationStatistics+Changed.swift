extension CalibrationStatistics {
  /// The samples that withdrawing at layer `k` changes most, by mean KL over their answer positions;
  /// of equals those that come first in the statistics.
  package func mostChanged(at k: Int, count: Int) -> [Measured] {
    func loss(_ sample: Measured) -> Double {
      let row = sample.divergence.kl[k]
      return row.reduce(0, +) / Double(max(1, row.count))
    }
    return measured.enumerated().map { (place: $0, sample: $1, loss: loss($1)) }
      .sorted { (-$0.loss, $0.place) < (-$1.loss, $1.place) }
      .prefix(count).map(\.sample)
  }
}
