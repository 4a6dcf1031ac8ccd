import Architecture
import Evaluation
import Statistics
import Testing

@Suite struct EvaluationSummaryTests {
  @Test func equalSchedulesRunOnce() {
    #expect(Results.plan.schedules.map(\.withdrawalLayer) == [4, 2])
    #expect(Results.plan.profiles.map(\.name) == ["default", "never", "same"])
    #expect(Results.plan.profiles.map(\.schedule) == [1, 0, 1])
  }

  /// Four questions whose numbers are easy by hand.
  static let results = [
    Results.result(
      "1", task: "b",
      [
        Results.run(tokens: 2, prefill: 1, decode: 0.625),
        Results.run(
          " red\n", tokens: 2, prefill: 0.5, decode: 0.125, kl: [0.5, 0.25],
          agrees: [true, false]),
      ]),
    Results.result(
      "2", task: "a",
      [
        Results.run("blue", tokens: 1, correct: false),
        Results.run("red", tokens: 4, correct: true, kl: [0.125], agrees: [true]),
      ]),
    Results.result(
      "3", task: "b",
      [Results.run(), Results.run("Red", tokens: 1, correct: false, kl: [1], agrees: [false])]),
    Results.result(
      "4", task: "b", rule: nil,
      [Results.run(correct: nil), Results.run(tokens: 1, correct: nil, kl: [0], agrees: [true])]),
  ]

  @Test func comparesQuestionByQuestion() throws {
    let summary = EvaluationSummary(Self.results, plan: Results.plan)
    #expect(summary.profiles.map(\.name) == ["default", "never", "same"])
    #expect(summary.profiles.map(\.schedule.withdrawalLayer) == [2, 4, 2])
    let rows = summary.profiles[0].rows
    #expect(rows.map(\.name) == ["a", "b", "all"])
    let all = try #require(rows.last)
    #expect(all.count == 4 && all.rules == [.exact: 3])
    #expect(all.correct == PairedShares(both: 1, onlyThis: 1, onlyReference: 1))
    #expect(rows[1].correct == PairedShares(both: 1, onlyReference: 1))
    // White space at both ends is no difference, capitals are.
    #expect(all.same.value == 0.5 && all.same.interval == wilsonInterval(successes: 2, trials: 4))
    #expect(all.positionCount == 5 && all.meanKL.value == 1.875 / 5)
    #expect(all.tokenAgreement.value == 0.6)
    #expect(all.tokensFull.value == 1.25 && all.tokens.value == 2)
    #expect(all.tokensDifference.value == 0.75)
    // 0, 3, 0, 0: standard deviation 1.5, Student's t of 3 degrees 3.182446.
    let interval = try #require(all.tokensDifference.interval)
    #expect(abs(interval.lowerBound - (0.75 - 3.182446 * 0.75)) < 1e-9)
    // Lengths and times are never below zero, differences may be.
    #expect(all.tokens.interval?.lowerBound == 0 && interval.lowerBound < 0)
    #expect(all.secondsFull.value == (2 + 3 * 1.875) / 4)
    #expect(all.seconds.value == (1 + 3 * 1.875) / 4)
    #expect(all.secondsRatio.value == 6.625 / 7.625)
    #expect(all.firstTokenRatio.value == (0.875 + 3 * 1.375) / (4 * 1.375))
    #expect(all.prefillRatio.value == 3.5 / 4)
    #expect(all.correctPairs == nil)
  }

  /// A profile that never withdraws is the full model itself.
  @Test func aProfileThatIsTheFullModelDiffersInNothing() throws {
    let never = EvaluationSummary(Self.results, plan: Results.plan).profiles[1].rows
    for row in never {
      #expect(row.correct.difference == 0 && row.same.value == 1 && row.meanKL.value == 0)
      #expect(row.secondsRatio.value == 1 && row.tokensDifference.value == 0)
    }
  }

  /// Where every task has a profile of its name, another row takes each question by its task.
  @Test func tasksUnderTheirOwnProfiles() throws {
    func summary(_ names: [String]) -> EvaluationSummary {
      let profiles = zip(names, [2, 4]).map {
        ScheduleProfile(name: $0, withdrawingAt: $1, of: 4)
      }
      return EvaluationSummary(
        Self.results, plan: EvaluationPlan(profiles, layerCount: 4))
    }
    let own = summary(["a", "b"]).ownProfiles
    #expect(own.map(\.name) == ["each task's own"])
    #expect(own.first?.profiles.map(\.profile) == ["a", "b"])
    let rows = try #require(own.first?.rows)
    #expect(rows.map(\.name) == ["a", "b", "all"])
    // Task b stays the full model, in which nothing differs.
    #expect(rows[0].same.value == 0 && rows[1].same.value == 1 && rows[2].same.value == 0.75)
    #expect(rows[2].positionCount == 7 && rows[2].meanKL.value == 0.125 / 7)
    #expect(rows[2].correct == PairedShares(both: 2, onlyThis: 1))
    #expect(rows[2].tokens.value == 2)
    #expect(summary(["a", "c"]).ownProfiles.isEmpty)
    // Those of a searched schedule have its name before the task's.
    let plan = EvaluationPlan(
      ["auto", "auto-a", "auto-b"].map { ScheduleProfile(name: $0, withdrawingAt: 2, of: 4) },
      layerCount: 4)
    let searched = EvaluationSummary(Self.results, plan: plan).ownProfiles
    #expect(searched.map(\.name) == ["each task's own auto"])
    #expect(searched.first?.profiles.map(\.profile) == ["auto-a", "auto-b"])
    // One task is a profile like any other.
    #expect(
      EvaluationSummary([Self.results[1]], plan: plan).ownProfiles.isEmpty)
  }

  @Test func orderChangesNoBit() {
    let one = EvaluationSummary(Self.results, plan: Results.plan)
    let other = EvaluationSummary(Self.results.reversed(), plan: Results.plan)
    for (a, b) in zip(one.profiles, other.profiles) {
      #expect(a.rows.map { "\($0)" } == b.rows.map { "\($0)" })
    }
  }

  @Test func nothingIsClaimedOfFewQuestions() {
    let one = EvaluationSummary([Self.results[3]], plan: Results.plan).profiles[0].rows[0]
    #expect(one.correct.difference == nil && one.meanKL.interval == nil)
    #expect(one.secondsRatio.interval == nil && one.same.value == 1)
    let none = EvaluationSummary([], plan: Results.plan).profiles[0].rows
    #expect(none.map(\.name) == ["all"] && none[0].same.value == nil)
  }

  // MARK: Accuracy+

  private func question(
    _ id: String, _ image: String?, full: Bool, this: Bool, rule: ScoringRule = .yesNo
  ) -> QuestionResult {
    Results.result(
      id, image: image, rule: rule, [Results.run(correct: full), Results.run(correct: this)])
  }

  private func pairs(_ results: [QuestionResult]) -> PairedShares? {
    EvaluationSummary(results, plan: Results.plan).profiles[0].rows[0].correctPairs
  }

  @Test func bothQuestionsOfAnImageMustBeRight() {
    var results = [
      question("1", "x", full: true, this: true), question("2", "x", full: true, this: false),
      question("3", "y", full: true, this: true), question("4", "y", full: true, this: true),
      question("5", "z", full: false, this: true), question("6", "z", full: true, this: true),
    ]
    let expected = PairedShares(both: 1, onlyThis: 1, onlyReference: 1)
    #expect(pairs(results) == expected)
    // Half an image, as an interrupted run leaves it, does not count.
    results.append(question("7", "w", full: true, this: true))
    #expect(pairs(results) == expected)
    #expect(pairs(results + [question("8", "x", full: true, this: true)]) == nil)
    #expect(pairs(results + [question("8", nil, full: true, this: true)]) == nil)
    #expect(pairs(results + [question("8", "v", full: true, this: true, rule: .exact)]) == nil)
    #expect(pairs([results[0], results[2]]) == nil)
  }
}
