/// `value` with `places` decimals.
package func fixed(_ value: Double, _ places: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  let rounded = (abs(value) * scale).rounded()
  var digits = String(Int(rounded))
  while digits.count <= places { digits = "0" + digits }
  let sign = value < 0 && rounded > 0 ? "-" : ""
  return places == 0 ? sign + digits : "\(sign)\(digits.dropLast(places)).\(digits.suffix(places))"
}
