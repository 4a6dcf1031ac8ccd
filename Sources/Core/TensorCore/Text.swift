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
