package import ArgumentParser
package import Architecture
package import Kernels
package import TensorCore

/// Options that every program with an engine takes.
package struct EngineOptions: ParsableArguments {
  @Option(help: "Threads to use (default: the physical cores this process may run on).")
  package var threads: Int?

  @Flag(help: "Keep each thread on a core of its own.")
  package var pin = false

  @Option(
    name: .customLong("isa"),
    help: ArgumentHelp(
      "Force an instruction set: generic, avx2, avx512, avx512bf16, neon, neondot (default: the best)."
    ))
  package var instructionSet: String?

  package init() {}

  package mutating func validate() throws {
    if let threads, !(1...64).contains(threads) {
      throw ValidationError("--threads must be in 1...64.")
    }
  }
}

/// How programs that answer hold keys and values.
package struct CacheOptions: ParsableArguments {
  package enum Precision: String, ExpressibleByArgument, CaseIterable, Sendable {
    case auto, f32, f16, q8
  }

  @Option(help: "How keys and values are held; auto is as the file says.")
  package var kv = Precision.auto

  /// Nil for what the file says.
  package var precision: KeyValueRows.Precision? { KeyValueRows.Precision(rawValue: kv.rawValue) }

  package init() {}
}

/// Options that choose which rows run where.
package struct ScheduleOptions: ParsableArguments {
  @Flag(help: "Never withdraw visual rows.")
  package var full = false

  @Option(help: "Withdraw visual rows at this layer (0: never seen; the layer count: never).")
  package var k: Int?

  @Option(help: "Take the withdrawal layer that the calibration found for this threshold.")
  package var eta: Float?

  @Option(help: "Use this profile of the file.")
  package var profile: String?

  @Option(
    help: """
      Run a schedule by hand: A-B (visual rows frozen in layers A..<B, then withdrawn) or \
      layers=0,2,3 (updated in these only).
      """)
  package var schedule: String?

  package init() {}

  package mutating func validate() throws {
    let chosen = [full, k != nil, eta != nil, profile != nil, schedule != nil].filter { $0 }
    if chosen.count > 1 {
      throw ValidationError("--full, --k, --eta, --profile and --schedule exclude each other.")
    }
    if let eta, !(eta > 0 && eta.isFinite) { throw ValidationError("--eta must be above 0.") }
  }

  /// The profile that these options choose from a file's schedule.
  package func choose(
    from schedule: TokenSchedule, file: String
  ) throws(InputError) -> ScheduleProfile {
    let layerCount = schedule.layerCount
    if full { return ScheduleProfile(name: "full", withdrawingAt: layerCount, of: layerCount) }
    if let k { return try schedule.profile(withdrawingAt: k, file: file) }
    if let eta {
      guard !schedule.candidates.isEmpty else {
        throw InputError(file, "has no calibration, so --eta chooses nothing; use --k")
      }
      let k = schedule.candidates.last { $0.eta <= eta }?.withdrawalLayer ?? layerCount
      return ScheduleProfile(name: "eta=\(eta)", withdrawingAt: k, of: layerCount)
    }
    if let profile { return try schedule.profile(named: profile, file: file) }
    if let text = self.schedule {
      return try ScheduleProfile(schedule: text, of: layerCount, file: file)
    }
    return schedule.profiles[schedule.defaultProfile]
  }
}

extension TokenSchedule {
  /// What `--k` asks for.
  package func profile(
    withdrawingAt k: Int, file: String
  ) throws(InputError) -> ScheduleProfile {
    guard (0...layerCount).contains(k) else {
      throw InputError(file, "--k \(k) is outside 0...\(layerCount)")
    }
    return ScheduleProfile(name: "k=\(k)", withdrawingAt: k, of: layerCount)
  }

  /// What `--profile` asks for.
  package func profile(named name: String, file: String) throws(InputError) -> ScheduleProfile {
    guard let match = profiles.first(where: { $0.name == name }) else {
      let names = profiles.map { printable($0.name) }.joined(separator: ", ")
      throw InputError(file, "has no profile '\(printable(name))'; it has \(names)")
    }
    return match
  }
}

extension ScheduleProfile {
  /// The schedule of `--schedule`.
  ///
  /// - Throws: `InputError` if it is none, or not of this model.
  package init(schedule text: String, of layerCount: Int, file: String) throws(InputError) {
    guard let profile = ScheduleProfile(text, of: layerCount) else {
      throw InputError(
        file,
        "--schedule \(printable(text)) is no schedule of its \(layerCount) layers; A-B such as 1-\(layerCount) "
          + "or layers= with a list such as layers=0 is")
    }
    self = profile
  }
}
