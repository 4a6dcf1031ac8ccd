package import Architecture
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

  /// A profile of the plan on every task by name, then on all together as "all".
  package struct Profile: Sendable {
    package var name: String
    package var schedule: ScheduleProfile
    package var rows: [Row]
  }

  /// Every task under a profile of its own, then all together.
  package struct OwnProfiles: Sendable {
    package var name: String
    /// The profile of each task, by task.
    package var profiles: [(task: String, profile: String)]
    package var rows: [Row]
  }

  package private(set) var profiles: [Profile]
  /// Where each of several tasks has a profile of its name: as if each question chose by its task.
  /// A searched schedule `auto` has such profiles too, `auto-` and the task.
  package private(set) var ownProfiles: [OwnProfiles]

  /// - Parameter results: in any order.
  package init(_ results: [QuestionResult], plan: EvaluationPlan) {
    let results = results.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
    let byTask = Dictionary(grouping: results, by: \.task)
    let tasks = byTask.keys.sorted()
    func rows(_ schedule: (String) -> Int) -> [Row] {
      tasks.map { Row($0, byTask[$0] ?? [], schedule) } + [Row("all", results, schedule)]
    }
    profiles = plan.profiles.map { profile in
      Profile(
        name: profile.name, schedule: plan.schedules[profile.schedule],
        rows: rows { _ in profile.schedule })
    }
    let names = Dictionary(plan.profiles.map { ($0.name, $0.schedule) }) { first, _ in first }
    var prefixes = [""]
    for profile in plan.profiles where !prefixes.contains(profile.name + "-") {
      prefixes.append(profile.name + "-")
    }
    ownProfiles = prefixes.compactMap { prefix in
      let places = tasks.compactMap { task in names[prefix + task].map { (task, $0) } }
      guard tasks.count > 1, places.count == tasks.count else { return nil }
      let byTask = Dictionary(uniqueKeysWithValues: places)
      return OwnProfiles(
        name: prefix.isEmpty ? "each task's own" : "each task's own \(prefix.dropLast())",
        profiles: tasks.map { ($0, prefix + $0) }, rows: rows { byTask[$0] ?? 0 })
    }
  }
}

extension EvaluationSummary.Row {
  /// - Parameter schedule: the place of the schedule that a task runs under.
  fileprivate init(_ name: String, _ results: [QuestionResult], _ schedule: (String) -> Int) {
    typealias Estimate = EvaluationSummary.Estimate
    self.init(name: name)
    count = results.count
    var sameCount = 0
    var divergences = DivergenceSum()
    var sums: [SampleSum] = []
    for result in results {
      let run = result.runs[schedule(result.task)]
      if let rule = result.rule { rules[rule, default: 0] += 1 }
      if let this = run.isCorrect, let full = result.runs[0].isCorrect {
        correct.add(this: this, reference: full)
      }
      if result.isSame(schedule(result.task)) { sameCount += 1 }
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

    func compared(
      _ value: (QuestionResult, Int) -> Double
    ) -> (full: Estimate, this: Estimate, ratio: Estimate) {
      let pairs = results.map { (y: value($0, schedule($0.task)), x: value($0, 0)) }
      return (
        .ratio(pairs.map { (y: $0.x, x: 1) }), .ratio(pairs.map { (y: $0.y, x: 1) }),
        .ratio(pairs)
      )
    }
    func tokenCount(_ result: QuestionResult, _ place: Int) -> Double {
      Double(result.runs[place].tokenCount)
    }
    (tokensFull, tokens, _) = compared(tokenCount)
    tokensDifference = .ratio(
      results.map { (y: tokenCount($0, schedule($0.task)) - tokenCount($0, 0), x: 1) },
      isNonnegative: false)
    (secondsFull, seconds, secondsRatio) = compared { $0.seconds($1) }
    (firstTokenSecondsFull, firstTokenSeconds, firstTokenRatio) = compared {
      $0.firstTokenSeconds($1)
    }
    (prefillSecondsFull, prefillSeconds, prefillRatio) = compared { $0.runs[$1].prefillSeconds }
  }

  /// MME's accuracy+, if all is yes or no, and no image of a task has more than two questions but
  /// some have two.
  private static func pairs(
    _ results: [QuestionResult], _ schedule: (String) -> Int
  ) -> PairedShares? {
    guard results.allSatisfy({ $0.rule == .yesNo && $0.image != nil }) else { return nil }
    let groups = Dictionary(grouping: results) { "\($0.task)\u{0}\($0.image ?? "")" }.values
    guard groups.allSatisfy({ $0.count <= 2 }) else { return nil }
    var shares = PairedShares()
    for group in groups where group.count == 2 {
      shares.add(
        this: group.allSatisfy { $0.runs[schedule($0.task)].isCorrect == true },
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
