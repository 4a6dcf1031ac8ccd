import TensorCore

/// What a calibration found beside K, in words.
extension CalibrationReport {
  /// Where the image goes; nil if no row of an answer was measured behind an image.
  var migrationSentence: String? {
    guard let rows = migration?.pooled.answer, rows.rowCount > 0 else { return nil }
    let layers = 0..<curves.layerCount
    // Before K, and from there on.
    let parts = [(layers.prefix(k), "before K = \(k)"), (layers.dropFirst(k), "from K = \(k) on")]
      .filter { !$0.0.isEmpty }
    let shares = parts.map { part, place in
      let mean = part.reduce(0) { $0 + rows[.visual][$1] } / Double(part.count)
      return "\(percent(mean)) \(place)"
    }
    let changes = parts.map { part, place in
      let worst = part.max { rows[.change][$0] < rows[.change][$1] } ?? 0
      return "\(percent(rows[.change][worst])) \(place) (layer \(worst))"
    }
    return "rows of answers give the image " + shares.joined(separator: " and ")
      + " of their attention; a layer that is the first without it changes them by up to "
      + changes.joined(separator: " and ")
  }

  /// What packing costs, and withdrawal beside it; nil if that was not compared.
  var packingSentence: String? {
    guard let packing, let cost = packing.curves.pooled.points.first else { return nil }
    // Below that, rounding in f32 is what is measured.
    let isNothing = cost.meanKL < 1e-6
    var text =
      "\(packing.encoding) instead of \(printable(packing.source)) costs "
      + (isNothing ? "less than 0.000001" : short(cost.meanKL))
      + " nats per answer position without withdrawal, agreement \(percent(cost.agreement))"
    guard k < curves.layerCount else { return text }
    let withdrawal = curves.pooled.points[k].meanKL
    text += "; withdrawal at K = \(k) costs \(short(withdrawal)) on the same samples"
    if !isNothing { text += ", \(proportion(withdrawal / cost.meanKL)) that" }
    return text
  }
}

/// "a third of", "2.4 times", "about as much as"
func proportion(_ ratio: Double) -> String {
  let known: [(Double, String)] = [
    (1.0 / 10, "a tenth of"), (1.0 / 5, "a fifth of"), (1.0 / 4, "a quarter of"),
    (1.0 / 3, "a third of"), (1.0 / 2, "half of"), (2.0 / 3, "two thirds of"),
    (3.0 / 4, "three quarters of"), (1, "about as much as"),
  ]
  if ratio < 0.075 { return "less than a tenth of" }
  if ratio > 100 { return "more than 100 times" }
  if ratio >= 1.15 { return "\(fixed(ratio, ratio < 10 ? 1 : 0)) times" }
  return known.min { abs($0.0 - ratio) < abs($1.0 - ratio) }?.1 ?? ""
}
