/// Sums over values and what an encoding makes of them.
package struct SquaredError: Equatable, Sendable {
  /// Sum of (encoded - value)^2.
  package var error: Double
  /// Sum of value^2.
  package var power: Double

  package init(error: Double = 0, power: Double = 0) {
    self.error = error
    self.power = power
  }

  package mutating func add(_ other: SquaredError) {
    error += other.error
    power += other.power
  }

  /// The root mean square of the error, in units of that of the values; 0 where these are zeros.
  package var relative: Double { power > 0 ? (error / power).squareRoot() : 0 }
}
