/// `value` with `places` decimals, or as it is where it has more digits than a double holds.
package func fixed(_ value: Double, _ places: Int) -> String {
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  let rounded = (abs(value) * scale).rounded()
  // Also false for NaN; beyond 2⁵³ the digits would be noise, and soon no Int.
  guard rounded < 0x1p53 else { return "\(value)" }
  var digits = String(Int(rounded))
  while digits.count <= places { digits = "0" + digits }
  let sign = value < 0 && rounded > 0 ? "-" : ""
  return places == 0 ? sign + digits : "\(sign)\(digits.dropLast(places)).\(digits.suffix(places))"
}

/// `count` bytes for people: "13.1 MB".
package func byteText(_ count: Int) -> String {
  var value = Double(count)
  for unit in ["B", "kB", "MB", "GB"] {
    if value < 1000 {
      return unit == "B" ? "\(count) B" : "\(fixed(value, value < 10 ? 2 : 1)) \(unit)"
    }
    value /= 1000
  }
  return "\(fixed(value, 2)) TB"
}

/// Seconds for people: "12.3 ms", "4.56 s", "3 min 20 s".
package func timeText(_ seconds: Double) -> String {
  if seconds < 1 { return "\(fixed(seconds * 1000, 1)) ms" }
  if seconds < 120 { return "\(fixed(seconds, 2)) s" }
  return "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
}
