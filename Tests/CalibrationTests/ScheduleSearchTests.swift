import Architecture
import Calibration
import TensorCore
import TestSupport
import Testing

@Suite struct ScheduleSearchTests {
  private func price(_ point: FreezePoint, _ layerCount: Int) -> ScheduleCosts.Price {
    // A frozen layer costs a sixth of a full one beyond text.
    let states = point.states(layerCount)
    let cost = states.reduce(0.0) { $0 + ($1 == .full ? 1 : $1 == .frozen ? 0.25 : 0.1) }
    return ScheduleCosts.Price(objective: cost, operations: cost)
  }

  /// Whatever passes, the search finds what a look at the whole grid finds, and asks for less.
  @Test(arguments: 0..<60)
  func findsWhatTheGridHas(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let layerCount = 1 + Int(random.next() % 12)
    let bumpiness = random.next() % 8
    let k = Int(random.next() % UInt64(layerCount + 1))
    let reach = random.next() % UInt64(layerCount + 1)
    func passes(_ point: FreezePoint) -> Bool {
      var own = SplitMix64(seed: seed &* 1000 &+ UInt64(point.freeze * 64 + point.withdraw))
      let isBump = own.next() % 10 < bumpiness && bumpiness < 4
      return (UInt64(point.freeze + point.withdraw) >= reach) != isBump
    }
    let grid = ScheduleFork.all(layerCount: layerCount).flatMap(\.points)
    let freezing = (0..<layerCount).map { passes(FreezePoint($0, layerCount)) }

    var expected = FreezePoint(k, k)
    for point in grid + [FreezePoint(layerCount, layerCount)]
    where point.freeze == layerCount || freezing[point.freeze] {
      let isSustained = (point.withdraw..<layerCount).allSatisfy {
        passes(FreezePoint(point.freeze, $0))
      }
      if isSustained, price(point, layerCount) < price(expected, layerCount) { expected = point }
    }

    // Some of those that only freeze are measured already.
    let known = freezing.enumerated().map { layer, passes in
      seed % 3 == 0 || layer % 4 == 0 || 2 * layer < layerCount && seed % 3 == 1 ? passes : nil
    }
    var asked = Set(
      known.indices.filter { known[$0] != nil }.map { FreezePoint($0, layerCount) })
    var search = ScheduleSearch(withdrawalLayer: k, freezing: known) {
      price($0, layerCount)
    }
    while let forks = search.next() {
      #expect(!forks.isEmpty)
      for fork in forks {
        #expect(!fork.ends.isEmpty && fork.ends == fork.ends.sorted())
        for point in fork.points { #expect(asked.insert(point).inserted, "asked twice: \(point)") }
        search.add(Dictionary(uniqueKeysWithValues: fork.points.map { ($0, passes($0)) }))
      }
    }
    #expect(
      price(search.best, layerCount) == price(expected, layerCount), "\(search.best) \(expected)")
    #expect(asked.count <= grid.count)

    var exhaustive = ScheduleSearch(withdrawalLayer: k, freezing: freezing) {
      price($0, layerCount)
    }
    exhaustive.add(Dictionary(uniqueKeysWithValues: grid.map { ($0, passes($0)) }))
    #expect(exhaustive.next() == nil)
    #expect(exhaustive.best == search.best)
    // What is known is enough to choose without asking.
    var settled = ScheduleSearch(withdrawalLayer: k, freezing: freezing) { price($0, layerCount) }
    settled.add(Dictionary(uniqueKeysWithValues: grid.map { ($0, passes($0)) }))
    settled.settle()
    #expect(settled.best == search.best)
  }

  @Test func costsOfStatesAreThoseOfProfiles() throws {
    let configuration = TinyModel.configuration
    let costs = ScheduleCosts(configuration, keyValueRowBytes: 48, textRows: 64)
    for text in ["5", "0", "1-3", "layers=0,2"] {
      let profile = try #require(ScheduleProfile(text, of: 5))
      let ratios = profile.costRatios(configuration, textRows: 64)
      #expect(costs.ratios(profile.visualStates) == ratios)
      let cost = ScheduleCost(
        profile, text: configuration.text, textRows: 64, visualRows: 9)
      #expect(costs.keyValueBytes(profile.visualStates) == cost.keyValueRows * 48)
    }
    let timed = ScheduleCosts(
      configuration, keyValueRowBytes: 48, textRows: 64, objective: .time,
      seconds: .init(full: 3, frozen: 1, withdrawn: 0.5))
    let states = try #require(ScheduleProfile("1-3", of: 5)).visualStates
    #expect(timed.price(states).objective == 6)
  }
}
