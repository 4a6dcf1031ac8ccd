import SampleSets
import Testing

@Suite struct SampleChoiceTests {
  /// `sizes[i]` samples of task "t<i>".
  private func set(_ sizes: [Int]) -> SampleSet {
    SampleSet(
      samples: sizes.enumerated().flatMap { task, size in
        (0..<size).map {
          Sample(id: "t\(task)/\($0)", task: "t\(task)", images: [], question: "?")
        }
      }, refused: [RefusedSample(id: "t0/x", reason: "is broken")])
  }

  private func counts(_ set: SampleSet) -> [Int] {
    set.tasks.map { task in set.samples.count { $0.task == task } }
  }

  @Test(
    arguments: [
      (0, []), (1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (8, [3, 2, 3]), (12, [5, 2, 5]),
      (17, [5, 2, 10]), (99, [5, 2, 10]),
    ] as [(Int, [Int])])
  func spreadsALimitOverTasks(limit: Int, expected: [Int]) {
    let found = set([5, 2, 10]).limited(to: limit, seed: 1)
    #expect(counts(found) == expected)
    #expect(found.refused.count == 1)
  }

  @Test func choosesTheSameEverywhere() {
    // By SplitMix64, FNV-1a and Fisher-Yates written once more in Python.
    let found = set([100, 100]).limited(to: 6, seed: 42).samples.map(\.id)
    #expect(found == ["t0/30", "t0/36", "t0/38", "t1/8", "t1/20", "t1/95"])
  }

  @Test func choosesOtherSamplesForAnotherSeed() {
    let set = set([100])
    #expect(set.limited(to: 10, seed: 1) != set.limited(to: 10, seed: 2))
  }

  @Test func keepsTheOrderOfTheSet() {
    let set = set([40, 40])
    let found = set.limited(to: 30, seed: 9).samples
    let places = found.compactMap { set.samples.firstIndex(of: $0) }
    #expect(places.count == 30)
    #expect(places == places.sorted())
  }

  @Test func growsAChoiceWithTheLimit() {
    let set = set([50, 50])
    let small = set.limited(to: 10, seed: 3).samples.map(\.id)
    #expect(Set(small).isSubset(of: set.limited(to: 11, seed: 3).samples.map(\.id)))
  }

  @Test func choosesInATaskWhateverOtherTasksThereAre() {
    let alone = set([30]).limited(to: 5, seed: 7).samples
    let beside = set([30, 8]).limited(to: 10, seed: 7).samples
    #expect(beside.filter { $0.task == "t0" } == alone)
  }

  @Test(arguments: [(1, 0), (2, 0), (3, 0), (4, 1), (7, 1), (8, 2), (12, 3), (16, 4)])
  func holdsAQuarterOfATaskOut(size: Int, heldOut: Int) {
    let (calibration, held) = set([size]).split(holdout: 0.25, seed: 5)
    #expect(held.samples.count == heldOut)
    #expect(calibration.samples.count == size - heldOut)
    #expect(calibration.refused.count == 1)
    #expect(held.refused.isEmpty)
  }

  @Test(arguments: [0.0, 0.25, 0.5, 1.0])
  func splitsIntoPartsThatMakeTheWhole(share: Double) {
    let set = set([1, 9, 20])
    let (calibration, held) = set.split(holdout: share, seed: 11)
    let all = (calibration.samples + held.samples).map(\.id)
    #expect(all.count == 30)
    #expect(Set(all).count == 30)
    // Every task keeps something to calibrate on.
    #expect(calibration.tasks == set.tasks)
  }

  // MARK: Small tasks

  @Test func judgesSmallTasksTogether() {
    let (merged, warnings) = set([7, 8, 3]).mergingSmallTasks()
    #expect(merged.tasks == ["default", "t1"])
    #expect(counts(merged) == [10, 8])
    #expect(merged.samples.map(\.id) == set([7, 8, 3]).samples.map(\.id))
    #expect(merged.refused.count == 1)
    #expect(
      warnings == [
        "tasks of fewer than 8 samples are judged together as 'default': t0 (7), t2 (3)"
      ])
  }

  @Test func leavesTasksOfEnoughSamplesAlone() {
    let large = set([8, 20])
    #expect(large.mergingSmallTasks().set == large)
    #expect(large.mergingSmallTasks().warnings.isEmpty)
    #expect(set([1, 2]).mergingSmallTasks(below: 1).set.tasks == ["t0", "t1"])
  }

  @Test func keepsTheNameOfASingleTask() {
    let (merged, warnings) = set([5]).mergingSmallTasks()
    #expect(merged == set([5]))
    #expect(warnings == ["the set has 5 of the 8 samples that say something of a task"])
  }
}
