package import Architecture

/// What withdrawing at each layer K leaves to be done and kept, for a prompt of one image,
/// the largest.
package struct WithdrawalCosts: Equatable, Sendable {
  /// By K in `0...layerCount`: shares of the decoder's prefill without withdrawal.
  package var operations: [Double]
  /// By K: shares of the rows of keys and values.
  package var keyValue: [Double]
  /// By K: bytes of keys and values.
  package var keyValueBytes: [Int]

  package init(operations: [Double], keyValue: [Double], keyValueBytes: [Int]) {
    self.operations = operations
    self.keyValue = keyValue
    self.keyValueBytes = keyValueBytes
  }

  /// - Parameters:
  ///   - keyValueRowBytes: what one row takes in one layer.
  ///   - textRows: rows of text beside the image's.
  package init(_ configuration: ModelConfiguration, keyValueRowBytes: Int, textRows: Int) {
    let layerCount = configuration.text.layerCount
    let visualRows = configuration.rowsOfLargestImage
    self.init(operations: [], keyValue: [], keyValueBytes: [])
    for k in 0...layerCount {
      let profile = ScheduleProfile(withdrawingAt: k, of: layerCount)
      let ratios = profile.costRatios(configuration, textRows: textRows)
      operations.append(ratios.operations)
      keyValue.append(ratios.keyValue)
      keyValueBytes.append((layerCount * textRows + k * visualRows) * keyValueRowBytes)
    }
  }

  /// The largest K whose prefill needs at most `share` of the FLOPs; nil if none does.
  package func lastLayer(within share: Double) -> Int? {
    operations.lastIndex { $0 <= share }
  }
}
