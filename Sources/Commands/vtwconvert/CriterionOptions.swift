import ArgumentParser
import Calibration

/// Options that say how K is chosen.
struct CriterionOptions: ParsableArguments {
  @Option(help: "default (every task, several answer tokens) or paper (the published rule).")
  var preset = "default"

  @Option(
    help: "Largest KL in nats (default: mean 0.01; with --quantile 0.05; preset paper 0.003).")
  var eta: Double?

  @Option(help: "Smallest share of answer tokens that must stay the same (default: 0.98).")
  var agreement: Double?

  @Option(
    help: ArgumentHelp(
      "Hold this percentage of the answer tokens to --eta instead of their mean.",
      valueName: "percent"))
  var quantile: Int?

  @Option(
    help: ArgumentHelp(
      "Take the best K whose decoder prefill needs at most this share of the FLOPs.",
      valueName: "share"))
  var flops: Double?

  mutating func validate() throws {
    guard ["default", "paper"].contains(preset) else {
      throw ValidationError("--preset must be default or paper.")
    }
    if let eta, !(eta > 0 && eta.isFinite) { throw ValidationError("--eta must be above 0.") }
    if let agreement, !(0...1).contains(agreement) {
      throw ValidationError("--agreement must be in 0...1.")
    }
    if let quantile, !(1...100).contains(quantile) {
      throw ValidationError("--quantile must be in 1...100.")
    }
    if let flops, !(flops > 0 && flops <= 1) {
      throw ValidationError("--flops must be above 0 and at most 1.")
    }
    guard preset == "default" || (quantile == nil && flops == nil && agreement == nil) else {
      throw ValidationError("--preset paper is a rule of its own; only --eta changes it.")
    }
    guard flops == nil || (eta == nil && agreement == nil && quantile == nil) else {
      throw ValidationError("--flops takes the best K within a budget; it has no threshold.")
    }
  }

  /// The criterion that these options ask for, in a model with these costs.
  func criterion(_ costs: WithdrawalCosts) -> Criterion {
    var criterion =
      flops.map { Criterion.budget($0, costs) } ?? quantile.map(Criterion.quantile)
      ?? (preset == "paper" ? .paper : .sustained)
    if let eta { criterion.eta = eta }
    if let agreement { criterion.agreement = agreement }
    return criterion
  }

  /// The share of the samples to keep apart, unless the user says another: the published rule has
  /// none.
  var holdout: Double { preset == "paper" ? 0 : 0.25 }
}
