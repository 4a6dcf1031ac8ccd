import Glibc
import Kernels
import TensorCore
import Testing

/// A small deterministic generator, so that a failure can be repeated.
struct Noise {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func bits() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }

  /// Uniform in -1..<1.
  mutating func value() -> Float { Float(Int32(truncatingIfNeeded: bits() >> 20)) * 0x1p-31 }

  mutating func values(_ count: Int, scale: Float = 1) -> [Float] {
    var result: [Float] = []
    for _ in 0..<count { result.append(value() * scale) }
    return result
  }
}

/// Rows filled with `values`.
func rows(_ values: [Float], width: Int) -> Rows {
  let result = Rows(count: width == 0 ? 0 : values.count / width, width: width)
  result.fill(from: values)
  return result
}

/// A tensor in memory, of values packed into an encoding.
func tensor(_ values: [Float], _ shape: Shape, _ encoding: Encoding = .f32) throws -> TensorView {
  let columns = shape.dimensions.dropFirst().reduce(1, *)
  let bytes = try TilePacker.pack(values, columns: columns, encoding: encoding).bytes
  return try #require(
    TensorView(ByteRegion(copying: bytes), offset: 0, shape: shape, encoding: encoding))
}

/// Fails unless every |found - expected| is within `tolerance`, naming the worst element.
func expectClose(
  _ found: [Float], _ expected: [Double], tolerance: Double, _ label: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard found.count == expected.count else {
    Issue.record(
      "\(label): \(found.count) values, expected \(expected.count)",
      sourceLocation: sourceLocation)
    return
  }
  var worst = 0.0, place = -1
  for index in found.indices {
    let difference = abs(Double(found[index]) - expected[index])
    if !(difference <= worst) { (worst, place) = (difference, index) }
  }
  guard place >= 0 else { return }
  #expect(
    worst <= tolerance,
    "\(label): [\(place)] is \(found[place]), expected \(expected[place]), off by \(worst)",
    sourceLocation: sourceLocation)
}

/// `value` rounded to bfloat16, ties to even.
func roundedToBF16(_ value: Float) -> Float {
  let bits = value.bitPattern
  return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
}

extension KeyValueRows {
  /// Adds rows after the last, as they are.
  func append(keys: Rows, values: Rows) {
    Compute(threads: 1).append(keys: keys, values: values, to: self)
  }
}

/// The activation in f64.
func exact(_ activation: KernelActivation, _ x: Double) -> Double {
  switch activation {
  case .silu: x / (1 + exp(-x))
  case .gelu: 0.5 * x * erfc(-x / 2.0.squareRoot())
  case .geluTanh: x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  case .quickGELU: x / (1 + exp(-1.702 * x))
  }
}
