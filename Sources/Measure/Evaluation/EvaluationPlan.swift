package import Architecture

/// Which schedules answer every question: the full model, and those of the profiles.
package struct EvaluationPlan: Equatable, Sendable {
  /// The schedules to run, each once: the full model, then every other one that a profile needs.
  package private(set) var schedules: [ScheduleProfile]
  /// What is reported on, with the place of its schedule in `schedules`.
  package private(set) var profiles: [(name: String, schedule: Int)]

  /// - Parameter profiles: with names of their own; those of equal segments share one run.
  package init(_ profiles: [ScheduleProfile], layerCount: Int) {
    schedules = [ScheduleProfile(name: "full", withdrawingAt: layerCount, of: layerCount)]
    self.profiles = []
    for profile in profiles {
      let place = schedules.firstIndex { $0.segments == profile.segments } ?? schedules.count
      if place == schedules.count { schedules.append(profile) }
      self.profiles.append((profile.name, place))
    }
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.schedules.map(\.segments) == b.schedules.map(\.segments)
      && a.profiles.elementsEqual(b.profiles, by: ==)
  }
}
