import Architecture
package import Statistics

/// What the results of many questions say of each profile, task by task and all together.
package struct EvaluationSummary: Sendable {
  /// An estimate and where the true value lies with 95 % confidence; nil without the data for it.
  package struct Estimate: Equatable, Sendable {
    package var value: Double?
    package var interval: ClosedRange<Double>?
  }

  /// One task under one profile, against the full model on the same questions.
  package struct Row: Sendable {
    package var name: String
    /// Questions.
    package var count = 0
    /// How many questions each rule judged; those without an answer are in none.
    package var rules: [ScoringRule: Int] = [:]
    package var correct = PairedShares()
    /// Images both of whose questions are right: MME's accuracy+.
    package var correctPairs: PairedShares?
    /// Answers that are the full model's.
    package var same = Estimate()
    /// Answer positions compared, the mean KL(this ‖ full) in nats, and the share of positions with
    /// the full model's most likely token.
    package var positionCount = 0
    package var meanKL = Estimate()
    package var tokenAgreement = Estimate()
    /// Tokens of an answer.
    package var tokensFull = Estimate()
    package var tokens = Estimate()
    package var tokensDifference = Estimate()
    /// From the image file to the last token, and to the first.
    package var secondsFull = Estimate()
    package var seconds = Estimate()
    /// The profile's time as a share of the full model's.
    package var secondsRatio = Estimate()
    package var firstTokenSecondsFull = Estimate()
    package var firstTokenSeconds = Estimate()
    package var firstTokenRatio = Estimate()
    /// Of the prompt alone, without the image's encoding.
    package var prefillSecondsFull = Estimate()
    package var prefillSeconds = Estimate()
    package var prefillRatio = Estimate()
  }

  /// By profile of the plan: every task by name, then all together as "all".
  package private(set) var profiles: [(name: String, withdrawalLayer: Int, rows: [Row])]

  /// - Parameter results: in any order.
  package init(_ results: [QuestionResult], plan: EvaluationPlan) {
    let results = results.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
    let byTask = Dictionary(grouping: results, by: \.task)
    profiles = plan.profiles.map { profile in
      let rows = byTask.keys.sorted().map { Row($0, byTask[$0] ?? [], profile.schedule) }
      return (
        profile.name, plan.schedules[profile.schedule].withdrawalLayer,
        rows + [Row("all", results, profile.schedule)]
      )
    }
  }
}

extension EvaluationSummary.Row {
  /// - Parameter schedule: the place of the profile's schedule.
  fileprivate init(_ name: String, _ results: [QuestionResult], _ schedule: Int) {
    typealias Estimate = EvaluationSummary.Estimate
    self.init(name: name)
    count = results.count
    var sameCount = 0
    var divergences = DivergenceSum()
    var sums: [SampleSum] = []
    for result in results {
      let run = result.runs[schedule]
      if let rule = result.rule { rules[rule, default: 0] += 1 }
      if let this = run.isCorrect, let full = result.runs[0].isCorrect {
        correct.add(this: this, reference: full)
      }
      if result.isSame(schedule) { sameCount += 1 }
      var own = DivergenceSum()
      for (kl, agrees) in zip(run.kl, run.agrees) { own.add(kl: kl, agrees: agrees) }
      sums.append(SampleSum(sum: own.total, count: own.count))
      divergences.merge(own)
    }
    correctPairs = Self.pairs(results, schedule)
    same = .share(sameCount, of: count)
    positionCount = divergences.count
    meanKL = Estimate(value: divergences.meanDivergence, interval: meanInterval(of: sums))
    tokenAgreement = .share(divergences.agreeingCount, of: divergences.count)

    func mean(_ value: (QuestionResult) -> Double) -> Estimate {
      .ratio(results.map { (y: value($0), x: 1) })
    }
    func tokens(_ schedule: Int) -> (QuestionResult) -> Double {
      { Double($0.runs[schedule].tokenCount) }
    }
    tokensFull = mean(tokens(0))
    self.tokens = mean(tokens(schedule))
    let differences = results.map { (y: tokens(schedule)($0) - tokens(0)($0), x: 1.0) }
    tokensDifference = .ratio(differences, isNonnegative: false)
    secondsFull = mean { $0.seconds(0) }
    seconds = mean { $0.seconds(schedule) }
    secondsRatio = .ratio(results.map { (y: $0.seconds(schedule), x: $0.seconds(0)) })
    firstTokenSecondsFull = mean { $0.firstTokenSeconds(0) }
    firstTokenSeconds = mean { $0.firstTokenSeconds(schedule) }
    firstTokenRatio = .ratio(
      results.map { (y: $0.firstTokenSeconds(schedule), x: $0.firstTokenSeconds(0)) })
    prefillSecondsFull = mean { $0.runs[0].prefillSeconds }
    prefillSeconds = mean { $0.runs[schedule].prefillSeconds }
    prefillRatio = .ratio(
      results.map { (y: $0.runs[schedule].prefillSeconds, x: $0.runs[0].prefillSeconds) })
  }

  /// MME's accuracy+, if all is yes or no, and no image of a task has more than two questions but
  /// some have two.
  private static func pairs(_ results: [QuestionResult], _ schedule: Int) -> PairedShares? {
    guard results.allSatisfy({ $0.rule == .yesNo && $0.image != nil }) else { return nil }
    let groups = Dictionary(grouping: results) { "\($0.task)\u{0}\($0.image ?? "")" }.values
    guard groups.allSatisfy({ $0.count <= 2 }) else { return nil }
    var shares = PairedShares()
    for group in groups where group.count == 2 {
      shares.add(
        this: group.allSatisfy { $0.runs[schedule].isCorrect == true },
        reference: group.allSatisfy { $0.runs[0].isCorrect == true })
    }
    return shares.count > 0 ? shares : nil
  }
}

extension EvaluationSummary.Estimate {
  /// A share with Wilson's interval.
  fileprivate static func share(_ part: Int, of whole: Int) -> Self {
    guard whole > 0 else { return Self() }
    return Self(
      value: Double(part) / Double(whole),
      interval: wilsonInterval(successes: part, trials: whole))
  }

  /// What the full model got right, with Wilson's interval.
  package static func full(_ shares: PairedShares) -> Self {
    share(shares.referenceCount, of: shares.count)
  }

  /// What the profile got right, with Wilson's interval.
  package static func this(_ shares: PairedShares) -> Self {
    share(shares.thisCount, of: shares.count)
  }

  /// The profile's share less the full model's, with Newcombe's interval.
  package static func difference(_ shares: PairedShares) -> Self {
    Self(value: shares.difference, interval: shares.differenceInterval())
  }

  /// Σy / Σx with the interval of the ratio estimator, cut at zero where no y can be below.
  fileprivate static func ratio(
    _ pairs: [(y: Double, x: Double)], isNonnegative: Bool = true
  ) -> Self {
    let whole = pairs.reduce(0) { $0 + $1.x }
    guard whole > 0 else { return Self() }
    let interval = ratioInterval(of: pairs).map {
      isNonnegative ? max(0, $0.lowerBound)...$0.upperBound : $0
    }
    return Self(value: pairs.reduce(0) { $0 + $1.y } / whole, interval: interval)
  }
}
