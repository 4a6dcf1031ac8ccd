/// Wilson's score interval for a share of `successes` among `trials` (1927).
///
/// Unlike the normal interval it stays inside 0...1 and is not a point at 0 or all successes.
///
/// - Parameter z: the normal quantile; 1.96 means 95 % confidence.
/// - Returns: `0...1` if there were no trials.
package func wilsonInterval(
  successes: Int, trials: Int, z: Double = 1.96
) -> ClosedRange<Double> {
  precondition((0...trials).contains(successes), "\(successes) successes in \(trials) trials")
  guard trials > 0 else { return 0...1 }
  let n = Double(trials)
  let share = Double(successes) / n
  let scale = 1 + z * z / n
  let center = (share + z * z / (2 * n)) / scale
  let reach = z / scale * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
  return max(0, center - reach)...min(1, center + reach)
}
