import Architecture
import Testing

@Suite struct ScheduleProfileTests {
  @Test(arguments: 0...5)
  func withdrawsFromLayerKOn(k: Int) {
    let profile = ScheduleProfile(withdrawingAt: k, of: 5)
    #expect(profile.withdrawalLayer == k)
    #expect(profile.name == "default")
    for layer in 0..<5 {
      #expect(profile.classes(in: layer) == (layer < k ? .all : .text))
      #expect(profile.classes(in: layer).contains(.visual) == (layer < k))
      #expect(profile.classes(in: layer).contains(.generated))
    }
    // The segments cover every layer once and none is empty.
    #expect(profile.segments.flatMap { Array($0.layers) } == Array(0..<5))
    #expect(profile.segments.count == (k == 0 || k == 5 ? 1 : 2))
    #expect(profile.segments.allSatisfy { $0.frozen.isEmpty })
  }

  @Test func showsNothingToLayersThatDoNotExist() {
    let profile = ScheduleProfile(withdrawingAt: 2, of: 4)
    #expect(profile.classes(in: 4).isEmpty)
    #expect(profile.classes(in: -1).isEmpty)
  }

  @Test func countsFrozenRowsAsSeen() {
    let profile = ScheduleProfile(
      name: "freeze",
      segments: [
        ScheduleSegment(layers: 0..<1, classes: .all),
        ScheduleSegment(layers: 1..<3, classes: .all, frozen: .visual),
        ScheduleSegment(layers: 3..<4, classes: .text),
      ])
    #expect(profile.withdrawalLayer == 3)
    #expect(profile.classes(in: 2) == .all)
  }

  @Test(arguments: [
    ("2", "██···"), ("5", "█████"), ("1-3", "█▒▒··"), ("0-5", "▒▒▒▒▒"), ("2-2", "██···"),
    ("layers=0,2", "█▒█▒▒"), ("layers=4,1,1", "▒█▒▒█"),
  ])
  func readsAndShowsSchedules(text: String, bar: String) throws {
    let profile = try #require(ScheduleProfile(text, of: 5))
    #expect(profile.bar == bar && profile.name == text)
    #expect(profile.segments.flatMap { Array($0.layers) } == Array(0..<5))
    #expect(ScheduleProfile(name: text, states: profile.visualStates) == profile)
    #expect(profile.freezesRows == bar.contains("▒"))
    #expect(profile.withdrawalLayer == bar.prefix { $0 != "·" }.count)
  }

  @Test(arguments: [
    "", "-", "6", "1-6", "3-1", "1-2-3", "a", "1-", "-1", "+1", " 1", "layers=", "layers=5",
    "layers=1,", "layers=1-2", "layer=1", "٣", "99999999999999999999",
  ])
  func refusesOtherSchedules(text: String) { #expect(ScheduleProfile(text, of: 5) == nil) }

  @Test func saysWhatBecomesOfVisualRows() throws {
    let summaries = try ["5", "2", "1-3", "0-5", "layers=0,2"].map {
      try #require(ScheduleProfile($0, of: 5)).summary
    }
    #expect(
      summaries == [
        "visual rows stay in all 5 layers", "visual rows leave at layer K = 2 of 5",
        "visual rows are frozen from layer 1 on and leave at layer K = 3 of 5",
        "visual rows are frozen from layer 0 on and stay in all 5 layers",
        "visual rows are frozen in 3 layers and stay in all 5 layers",
      ])
  }

  @Test func runsNoLayersWithoutLayers() {
    #expect(ScheduleProfile(withdrawingAt: 0, of: 0).segments.isEmpty)
    #expect(ScheduleProfile(withdrawingAt: 0, of: 0).withdrawalLayer == 0)
  }

  @Test func neverWithdrawsInAFullSchedule() {
    let schedule = TokenSchedule.full(layerCount: 7)
    #expect(schedule.layerCount == 7)
    #expect(schedule.profiles.map(\.withdrawalLayer) == [7])
    #expect(schedule.defaultProfile == 0)
  }
}

@Suite struct ClassMaskTests {
  @Test func keepsTheFileConstants() {
    #expect(TokenClass.allCases.map(\.rawValue) == [0, 1, 2, 3])
    #expect(TokenClass.allCases.map(\.name) == ["system", "user", "generated", "visual"])
    #expect(ClassMask.text.rawValue == 0b0111)
    #expect(ClassMask.visual.rawValue == 0b1000)
    #expect(ClassMask.all.rawValue == 0b1111)
  }

  @Test func holdsExactlyItsClasses() {
    for tokenClass in TokenClass.allCases {
      #expect(ClassMask.all.contains(tokenClass))
      #expect(ClassMask.text.contains(tokenClass) == (tokenClass != .visual))
      #expect(ClassMask(tokenClass).contains(tokenClass))
    }
  }
}
