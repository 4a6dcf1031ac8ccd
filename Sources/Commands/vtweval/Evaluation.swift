import Architecture
import Calibration
import CommandSupport
import Inference
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

/// Answers of the full model and of each profile to every sample, counted by task.
struct Evaluation {
  /// Counts of one task under one profile.
  struct Tally {
    var count = 0
    var withAnswer = 0
    var correctFull = 0
    var correct = 0
    var agreeing = 0
    var divergence = 0.0
    var positions = 0

    mutating func add(_ other: Tally) {
      count += other.count
      withAnswer += other.withAnswer
      correctFull += other.correctFull
      correct += other.correct
      agreeing += other.agreeing
      divergence += other.divergence
      positions += other.positions
    }
  }

  private let profiles: [ScheduleProfile]
  /// By profile, then by task.
  private var tallies: [[String: Tally]]
  private(set) var refused: [RefusedSample]
  private(set) var sampleCount = 0

  init(
    _ runtime: Runtime, profiles: [ScheduleProfile], maxTokens: Int, samples: [Sample],
    progress: (Double) -> Void
  ) throws(InputError) {
    self.profiles = profiles
    tallies = profiles.map { _ in [:] }
    let layerCount = runtime.file.schedule.layerCount
    let never = ScheduleProfile(name: "full", withdrawingAt: layerCount, of: layerCount)

    // The sweep gives KL at every K at once; answers need a run of their own per profile, and so
    // does the KL of schedules that freeze.
    let freezing = profiles.indices.filter { profiles[$0].freezesRows }
    let calibrator = Calibrator(
      model: runtime.model, encoder: runtime.encoder,
      imageSteps: runtime.file.imageSteps, precision: runtime.precision,
      options: CalibrationOptions())
    var refused: [RefusedSample] = []
    var divergences: [String: SampleDivergence] = [:]
    var full: [String: Calibrator.FullAnswer] = [:]
    try calibrator.run(
      samples, keepsAnswers: !freezing.isEmpty,
      progress: {
        progress($0 / 2)
        return true
      }
    ) { outcome in
      refused += outcome.refused
      for divergence in outcome.divergences { divergences[divergence.id] = divergence }
      full.merge(outcome.answers) { _, new in new }
    }
    var frozen: [String: SampleDivergence] = [:]
    if !freezing.isEmpty {
      let outcome = try calibrator.run(
        samples.filter { divergences[$0.id] != nil }, profiles: freezing.map { profiles[$0] },
        answers: full, progress: { _ in true })
      for divergence in outcome?.divergences ?? [] { frozen[divergence.id] = divergence }
    }
    self.refused = refused

    for (index, sample) in samples.enumerated() {
      progress(0.5 + Double(index) / Double(2 * samples.count))
      guard let measured = divergences[sample.id] else { continue }
      do {
        let full = try Self.answer(sample, runtime, never, maxTokens)
        // Profiles with the same segments give the same answer.
        var answers = [(segments: never.segments, text: full)]
        for (place, profile) in profiles.enumerated() {
          let k = profile.withdrawalLayer
          let answer: String
          if let known = answers.first(where: { $0.segments == profile.segments }) {
            answer = known.text
          } else {
            answer = try Self.answer(sample, runtime, profile, maxTokens)
            answers.append((profile.segments, answer))
          }
          var tally = Tally(count: 1)
          tally.agreeing = answer == full ? 1 : 0
          if let expected = sample.answer.map(Self.normalized) {
            tally.withAnswer = 1
            tally.correctFull = full == expected ? 1 : 0
            tally.correct = answer == expected ? 1 : 0
          }
          if let row = freezing.firstIndex(of: place) {
            tally.divergence = frozen[sample.id]?.kl[row].reduce(0, +) ?? 0
          } else if k < layerCount {
            tally.divergence = measured.kl[k].reduce(0, +)
          }
          tally.positions = measured.kl.first?.count ?? 0
          tallies[place][sample.task, default: Tally()].add(tally)
        }
        sampleCount += 1
      } catch {
        refused.append(RefusedSample(id: sample.id, reason: error.description))
      }
    }
  }

  private static func answer(
    _ sample: Sample, _ runtime: Runtime, _ profile: ScheduleProfile, _ maxTokens: Int
  ) throws(InputError) -> String {
    let conversation = try runtime.conversation(
      sampling: SamplingOptions(),
      stop: StopRule(
        endOfTextIDs: Set(runtime.file.configuration.endOfTextIDs.map(Int32.init)),
        maxTokens: maxTokens),
      profile: profile)
    let turn = try conversation.ask(
      sample.question ?? "", images: sample.images, isRaw: sample.isRaw, emit: { _ in })
    return normalized(turn.answer.text)
  }

  /// `text` without white space at both ends.
  private static func normalized(_ text: String) -> String {
    var rest = text[...]
    while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
    while rest.last?.isWhitespace == true { rest = rest.dropLast() }
    return String(rest)
  }

  /// Rows of the result: every task, then all together.
  private func rows(_ profile: Int) -> [(name: String, tally: Tally)] {
    var all = Tally()
    var rows: [(name: String, tally: Tally)] = []
    for task in tallies[profile].keys.sorted() {
      let tally = tallies[profile][task] ?? Tally()
      all.add(tally)
      rows.append((task, tally))
    }
    return rows + [("all", all)]
  }

  var json: JSONValue {
    [
      "profiles": .array(
        profiles.indices.map { profile in
          [
            "name": .string(profiles[profile].name),
            "k": .integer(profiles[profile].withdrawalLayer),
            "tasks": .array(rows(profile).map { Self.json($0.name, $0.tally) }),
          ]
        })
    ]
  }

  private static func share(_ part: Int, _ whole: Int) -> Double? {
    whole > 0 ? Double(part) / Double(whole) : nil
  }

  private static func json(_ name: String, _ tally: Tally) -> JSONValue {
    func number(_ value: Double?) -> JSONValue { value.map { .number(rounded($0)) } ?? .null }
    return [
      "name": .string(name), "n": .integer(tally.count),
      "accuracy_full": number(share(tally.correctFull, tally.withAnswer)),
      "accuracy": number(share(tally.correct, tally.withAnswer)),
      "agreement": number(share(tally.agreeing, tally.count)),
      "mean_kl": number(tally.positions > 0 ? tally.divergence / Double(tally.positions) : nil),
    ]
  }

  var table: String {
    var text = ""
    let width = max(8, tallies.flatMap(\.keys).map(\.count).max() ?? 0)
    func percent(_ value: Double?) -> String { value.map { fixed(100 * $0, 1) } ?? "-" }
    for (place, profile) in profiles.enumerated() {
      text += "profile \(printable(profile.name)), "
      text += profile.freezesRows ? "\(profile.bar) " : ""
      text += "K = \(profile.withdrawalLayer)\n"
      var table = TextTable(columns: [width + 2, 6, 9, 9, 9, 9])
      table.add(["", "n", "full %", "this %", "agree %", "mean KL"])
      for (name, tally) in rows(place) {
        table.add([
          "  " + printable(name, limit: width), String(tally.count),
          percent(Self.share(tally.correctFull, tally.withAnswer)),
          percent(Self.share(tally.correct, tally.withAnswer)),
          percent(Self.share(tally.agreeing, tally.count)),
          fixed(tally.divergence / Double(max(1, tally.positions)), 4),
        ])
      }
      text += table.text
    }
    return text
  }
}
