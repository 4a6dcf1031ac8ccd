import Kernels
import Synchronization
import Testing

@Suite struct ComputeTests {
  @Test(arguments: [1, 2, 3, 8, 64])
  func parallelCallsEachIndexOnce(threads: Int) {
    let compute = Compute(threads: threads)
    for count in [0, 1, 2, 7, 100, 1000] {
      for _ in 0..<20 {
        let calls = (0..<count).map { _ in Box() }
        compute.parallel(count) { calls[$0].value.add(1, ordering: .relaxed) }
        #expect(calls.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
      }
    }
  }

  /// Loops back to back, with pauses long enough for the workers to fall asleep now and then.
  @Test func loopsFollowEachOther() {
    let compute = Compute(threads: 4)
    var expected = 0
    let sum = Box()
    for round in 0..<3000 {
      compute.parallel(5) { sum.value.add($0 + round, ordering: .relaxed) }
      expected += 10 + 5 * round
      if round % 500 == 0 {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .milliseconds(2) {}
      }
    }
    #expect(sum.value.load(ordering: .relaxed) == expected)
  }

  @Test func manyPoolsComeAndGo() {
    for threads in 1...40 {
      let sum = Box()
      Compute(threads: threads % 9 + 1).parallel(64) { sum.value.add($0, ordering: .relaxed) }
      #expect(sum.value.load(ordering: .relaxed) == 2016)
    }
  }

  @Test func defaultUsesAtLeastOneThread() {
    let compute = Compute()
    #expect(compute.threads >= 1 && compute.threads <= 64)
    #expect(InstructionSet.supported.contains(compute.instructionSet))
    #expect(InstructionSet.supported.first == .generic)
  }

  private final class Box: Sendable {
    let value = Atomic(0)
  }
}

@Suite struct RowsTests {
  @Test func slicesShareMemory() {
    let all = Rows(count: 4, width: 3)
    all.fill(from: (0..<12).map(Float.init))
    let middle = all[1..<3]
    #expect(middle.copy() == [3, 4, 5, 6, 7, 8])
    middle.fill(with: -1)
    #expect(all.copy() == [0, 1, 2, -1, -1, -1, -1, -1, -1, 9, 10, 11])
    all[0..<2].copyRows(from: all[2..<4])
    #expect(all[0..<2].copy() == [-1, -1, -1, 9, 10, 11])
  }

  @Test func reshapingKeepsTheMemory() {
    let scratch = Rows(count: 10, width: 8)
    scratch.fill(with: 0)
    let small = scratch.reshaped(count: 5, width: 3)
    small.fill(with: 2)
    #expect(scratch.copy().filter { $0 == 2 }.count == 15)
    #expect(small.reshaped(count: 10, width: 8).copy() == scratch.copy())
    var span = small[4..<5].mutableSpan
    span[0] = 7
    #expect(small.span[12] == 7)
  }

  @Test func partsLieOneBehindTheOther() {
    let scratch = Rows(count: 10, width: 8)
    scratch.fill(with: 0)
    let parts = scratch.parts(widths: [3, 0, 4])
    #expect(parts.map { [$0.count, $0.width] } == [[10, 3], [10, 0], [10, 4]])
    parts[0].fill(with: 1)
    parts[2].fill(with: 2)
    #expect(
      scratch.copy()
        == Array(repeating: 1, count: 30) + Array(repeating: 2, count: 40)
        + Array(repeating: 0, count: 10))
  }
}
