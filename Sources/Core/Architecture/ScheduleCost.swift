/// What a profile costs in the decoder's prefill, for reports and for the file's ratios.
package struct ScheduleCost: Equatable, Sendable {
  /// Floating-point operations of all decoder layers.
  package var operations: Double
  /// Those among them that are products with weights; the rest is attention.
  package var productOperations: Double
  /// Rows whose keys and values are kept, summed over layers.
  package var keyValueRows: Int

  /// Counts multiply-adds as two operations: 2(t+v)(2h+2h_kv+3m)h + 4(t+v)²h per full layer, where
  /// a frozen visual row costs its keys and values and is attended to, and a withdrawn one nothing.
  ///
  /// - Parameters:
  ///   - textRows: rows of all text classes.
  ///   - visualRows: rows of class visual.
  package init(
    _ profile: ScheduleProfile, text: TextConfiguration, textRows: Int, visualRows: Int
  ) {
    let hidden = Double(text.hiddenSize)
    let query = Double(text.queryWidth)
    let keyValue = Double(text.keyValueWidth)
    let perRow = 2 * hidden * (2 * query + 2 * keyValue + 3 * Double(text.intermediateSize))
    operations = 0
    productOperations = 0
    keyValueRows = 0
    for segment in profile.segments {
      let isFrozen = segment.frozen.contains(.visual)
      let seen = Double(textRows + (segment.classes.contains(.visual) ? visualRows : 0))
      let updated = isFrozen ? Double(textRows) : seen
      let products = updated * perRow + (seen - updated) * 4 * keyValue * hidden
      let attention = 4 * updated * seen * query
      operations += Double(segment.layers.count) * (products + attention)
      productOperations += Double(segment.layers.count) * products
      keyValueRows += segment.layers.count * Int(seen)
    }
  }
}

extension ScheduleProfile {
  /// What this profile costs against never withdrawing, for the largest image and `textRows`
  /// text rows.
  ///
  /// - Returns: shares of the decoder's prefill operations and of the rows in the KV cache; 1 for a
  ///   text-only model.
  package func costRatios(
    _ configuration: ModelConfiguration, textRows: Int
  ) -> (operations: Double, keyValue: Double) {
    let visualRows = configuration.rowsOfLargestImage
    let layerCount = configuration.text.layerCount
    let never = ScheduleProfile(withdrawingAt: layerCount, of: layerCount)
    let full = ScheduleCost(
      never, text: configuration.text, textRows: textRows, visualRows: visualRows)
    let cost = ScheduleCost(
      self, text: configuration.text, textRows: textRows, visualRows: visualRows)
    return (
      cost.operations / full.operations, Double(cost.keyValueRows) / Double(full.keyValueRows)
    )
  }
}
