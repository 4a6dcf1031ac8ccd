import TensorCore

/// The choice in words, for the record, the terminal, and vtwinfo.
extension CalibrationReport {
  /// One sentence per line: the rule, the samples, what decided, what held-out samples say, where
  /// the image goes, and what packing costs.
  package var explanation: [String] {
    [rule, evidence] + decision + doubts + verification
      + [schedules?.sentence, migrationSentence, packingSentence].compactMap(\.self)
  }

  private var layerCount: Int { curves.layerCount }

  private var rule: String {
    let agreement =
      criterion.agreement > 0
      ? ", and the same top-1 token at \(percent(criterion.agreement)) of them or more" : ""
    switch criterion.rule {
    case .paper:
      return "rule 'paper': the first K from \(criterion.firstLayer) on whose mean KL of the first "
        + "answer token, over all samples, is at most \(criterion.eta) nats"
    case .sustained:
      return "rule 'sustained': in every task, at K and at every later layer, a mean KL of at most "
        + "\(criterion.eta) nats per answer position\(agreement)"
    case .quantile(let percentile):
      return "rule 'quantile': in every task, at K and at every later layer, a KL of at most "
        + "\(criterion.eta) nats at \(percentile) % of the answer positions\(agreement)"
    case .budget(let share, _):
      return "rule 'budget': of the K whose decoder prefill needs at most \(percent(share)) of the "
        + "FLOPs, the one with the least mean KL in its worst task"
    }
  }

  private var evidence: String {
    let pooled = curves.pooled
    var text =
      "chosen on \(pooled.sampleCount) samples with \(pooled.positionCount) answer positions in "
      + "\(curves.tasks.count == 1 ? "1 task" : "\(curves.tasks.count) tasks")"
    if let holdout {
      text += "; \(holdout.pooled.sampleCount) samples were kept apart to check the choice"
    }
    return text + " (ranges in parentheses: 95 % confidence)"
  }

  // MARK: What decided

  private var decision: [String] {
    switch criterion.rule {
    case .paper: [paperDecision]
    case .sustained, .quantile: sustainedDecision
    case .budget(_, let lastLayer): [budgetDecision(lastLayer)]
    }
  }

  private var paperDecision: String {
    let k = choice.calibrated
    guard k > criterion.firstLayer, k > 0 else { return "K = \(k) passes at once" }
    return "K = \(k - 1) misses: the mean KL of the first token is "
      + short(curves.pooled.points[k - 1].firstTokenMeanKL)
  }

  private var sustainedDecision: [String] {
    let k = choice.calibrated
    guard k > 0 else { return ["every task passes even at K = 0"] }
    let deciding = curves.tasks.indices.filter { taskChoices[$0].calibrated == k }
    var lines = deciding.prefix(Self.mostNamed).map { index in
      let task = curves.tasks[index]
      return "\(printable(task.name)) decided: at K = \(k - 1) its \(measured(task.points[k - 1]))"
    }
    if deciding.count > Self.mostNamed {
      lines.append("\(deciding.count - Self.mostNamed) other tasks need K = \(k) too")
    }
    // The nearest first; equals by name, as the curves are.
    let others = curves.tasks.indices.filter { taskChoices[$0].calibrated < k }
      .sorted { (-taskChoices[$0].calibrated, $0) < (-taskChoices[$1].calibrated, $1) }
    guard let nearest = others.first else { return lines }
    let own = taskChoices[nearest].calibrated
    var next =
      "the nearest other is \(printable(curves.tasks[nearest].name)), which alone takes K = \(own)"
    if own > 0 {
      next += ": at K = \(own - 1) its \(measured(curves.tasks[nearest].points[own - 1]))"
    }
    lines.append(next)
    let named = others.dropFirst().prefix(Self.mostListed).map { index in
      "\(printable(curves.tasks[index].name)) K = \(taskChoices[index].calibrated)"
    }
    let rest = others.count - 1 - named.count
    guard !named.isEmpty else { return lines }
    lines.append(
      "then " + named.joined(separator: ", ") + (rest > 0 ? ", and \(rest) more with less" : ""))
    return lines
  }

  private func budgetDecision(_ lastLayer: Int?) -> String {
    guard lastLayer != nil else {
      return "no K is that cheap: K = 0 needs \(percent(costs.operations[0])) of the FLOPs"
    }
    let k = choice.calibrated
    let cost = "K = \(k) needs \(percent(costs.operations[k])) of the FLOPs"
    guard k < layerCount, let worst = curves.worst(at: k) else { return cost }
    return cost + "; its worst task is \(printable(worst.name)), whose \(measured(worst.point))"
  }

  // MARK: How sure that is

  /// Tasks that pass at K, but not wherever in the interval the truth lies.
  private var doubts: [String] {
    let k = choice.k
    guard k < layerCount, criterion.rule == .sustained else { return [] }
    return curves.tasks.compactMap { task in
      let point = task.points[k]
      guard let interval = point.meanInterval, criterion.passes(point),
        interval.upperBound > criterion.eta
      else { return nil }
      return
        "not settled by \(task.sampleCount) samples: the mean KL of \(printable(task.name)) at "
        + "K = \(k) may be as high as \(short(interval.upperBound)); more samples would tell"
    }
  }

  /// What the held-out samples say of the choice.
  private var verification: [String] {
    guard let holdout, choice.calibrated < layerCount else { return [] }
    let (from, to) = (choice.calibrated, choice.k)
    guard to > from else {
      let worst = holdout.worst(at: to).map {
        ": the worst is \(printable($0.name)), whose \(measured($0.point))"
      }
      switch criterion.rule {
      case .budget: return ["held-out samples at K = \(to)" + (worst ?? "")]
      default: return ["held-out samples bear K = \(to) out" + (worst ?? "")]
      }
    }
    let broken = Self.failures(criterion, holdout, from: from)
    let target = to == layerCount ? "K = \(to): visual rows never leave" : "K = \(to)"
    return [
      "held-out samples do not bear K = \(from) out, so it moved up to \(target); "
        + broken.joined(separator: "; ")
    ]
  }

  /// Which curves miss the criterion at the last layer, from `k` on, where they do.
  private static func failures(
    _ criterion: Criterion, _ curves: CalibrationCurves, from k: Int
  ) -> [String] {
    let judged = criterion.rule == .paper ? [curves.pooled] : curves.tasks
    return judged.compactMap { task in
      task.points.last { $0.k >= k && !criterion.passes($0) }.map { point in
        "at K = \(point.k), \(printable(task.name)): "
          + words(criterion, point, withIntervals: false)
      }
    }
  }

  // MARK: Warnings

  func findWarnings() -> [String] {
    var warnings = curves.tasks.filter { $0.ignoresImage(eta: criterion.eta) }.map {
      "task '\(printable($0.name))': these questions do not need the image "
        + "(mean KL without it is \(short($0.points.first?.meanKL ?? 0)))"
    }
    if setup.holdout > 0 {
      let heldOut = Set((holdout?.tasks ?? []).map(\.name))
      warnings += curves.tasks.filter { !heldOut.contains($0.name) }.map {
        "task '\(printable($0.name))' has too few samples to keep one apart; its K is unchecked"
      }
    }
    if k == layerCount, layerCount > 0 {
      warnings.append(
        choice.calibrated < layerCount
          ? "no withdrawal layer from \(choice.calibrated) on holds on held-out samples; visual rows "
            + "are never withdrawn"
          : "no withdrawal layer meets the criterion; visual rows are never withdrawn")
      return warnings
    }
    if choice.k > choice.calibrated {
      warnings.append(
        "K moved from \(choice.calibrated) to \(choice.k), because held-out samples miss the "
          + "criterion before")
    }
    return warnings + silentBreaks
  }

  /// Rules that do not look at every task's answers may break one: never in silence.
  private var silentBreaks: [String] {
    switch criterion.rule {
    case .sustained, .quantile: return []
    case .paper, .budget:
      let usual = Criterion.sustained
      let wanted = usual.withdrawalLayer(curves)
      return curves.tasks.filter { !usual.passes($0.points[k]) }.map {
        "task '\(printable($0.name))' misses the default criterion at K = \(k) "
          + "(\(Self.words(usual, $0.points[k], withIntervals: false))); that would take K = \(wanted)"
      }
    }
  }

  // MARK: Numbers in words

  private static let mostNamed = 4
  private static let mostListed = 12

  private func measured(_ point: CurvePoint) -> String {
    Self.words(criterion, point, withIntervals: true)
  }

  /// "mean KL is 0.0046 (0.0004...0.0089), agreement 96.3 % (87.5...99 %)", as the rule sees them.
  private static func words(
    _ criterion: Criterion, _ point: CurvePoint, withIntervals: Bool
  ) -> String {
    let divergence = short(criterion.divergence(point))
    var text =
      switch criterion.rule {
      case .paper: "first-token mean KL is \(divergence)"
      case .sustained, .budget: "mean KL is \(divergence)"
      case .quantile(let percentile): "\(percentile) % KL is \(divergence)"
      }
    let showsMean = criterion.rule != .paper && criterion.percentile == nil
    if withIntervals, showsMean, let interval = point.meanInterval {
      text += " (\(short(interval.lowerBound))...\(short(interval.upperBound)))"
    }
    guard criterion.rule != .paper else { return text }
    text += ", agreement \(percent(point.agreement))"
    if withIntervals {
      let interval = point.agreementInterval
      text += " (\(fixed(100 * interval.lowerBound, 1))...\(percent(interval.upperBound)))"
    }
    return text
  }
}

/// "98.1 %", "100 %"
func percent(_ share: Double) -> String {
  let text = fixed(100 * share, 1)
  return (text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + " %"
}

/// Nats with four decimals, small ones with six.
func short(_ value: Double) -> String {
  value == 0 ? "0" : fixed(value, value >= 0.001 ? 4 : 6)
}
