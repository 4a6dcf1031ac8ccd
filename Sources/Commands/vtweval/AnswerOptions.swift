import Architecture
import ArgumentParser
import CommandSupport
import Evaluation
import RuntimeSupport
import TensorCore

/// Options of what answers are compared, and how they are judged.
struct AnswerOptions: ParsableArguments {
  @Option(help: "Use this profile of the file; repeat for several (default: the default profile).")
  var profile: [String] = []

  @Flag(help: "Use every profile of the file.")
  var allProfiles = false

  @Option(help: "Withdraw at this layer; repeat for several.")
  var k: [Int] = []

  @Option(
    help: ArgumentHelp(
      "Run this schedule, such as 4-22 or layers=0,2,3; repeat for several.",
      valueName: "schedule"))
  var schedule: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Judge answers by exact, option, yes-no or contains; repeat for several tasks (default: what \
      fits each question and its answer, never contains).
      """, valueName: "[task=]rule"))
  var score: [String] = []

  @Option(help: "Answer positions at which KL and top-1 agreement are measured.")
  var calibTokens = QuestionOptions().comparedTokens

  @Option(
    help: ArgumentHelp(
      "Write a line for every question that is done.", valueName: "file.jsonl"),
    transform: nonemptyPath)
  var results: String?

  @Flag(help: "Go on with the --results of an interrupted run.")
  var resume = false

  mutating func validate() throws {
    guard (1...4096).contains(calibTokens) else {
      throw ValidationError("--calib-tokens must be in 1...4096.")
    }
    guard !allProfiles || profile.isEmpty else {
      throw ValidationError("--all-profiles and --profile exclude each other.")
    }
    guard !resume || results != nil else {
      throw ValidationError("--resume needs --results, the file to go on with.")
    }
    var tasks: Set<String> = []
    for argument in score {
      guard let (task, _) = Self.rule(argument) else {
        throw ValidationError(
          "--score must be \(ScoringRule.allCases.map(\.rawValue).joined(separator: ", ")), "
            + "or a task, \"=\" and one of these.")
      }
      guard tasks.insert(task).inserted else {
        throw ValidationError("--score gives \(task.isEmpty ? "all tasks" : task) two rules.")
      }
    }
  }

  /// Whether anything is asked for that only answers have.
  var isUsed: Bool {
    !profile.isEmpty || allProfiles || !(k.isEmpty && schedule.isEmpty) || !score.isEmpty
      || results != nil
  }

  /// The profiles to evaluate, those of the file first.
  func profiles(of model: TokenSchedule, file: String) throws(InputError) -> [ScheduleProfile] {
    var chosen = allProfiles ? model.profiles : []
    for name in profile { chosen.append(try model.profile(named: name, file: file)) }
    for layer in k { chosen.append(try model.profile(withdrawingAt: layer, file: file)) }
    for text in schedule {
      chosen.append(try ScheduleProfile(schedule: text, of: model.layerCount, file: file))
    }
    return chosen.isEmpty ? [model.profiles[model.defaultProfile]] : chosen
  }

  /// - Parameter tasks: those of the set.
  func questions(maxTokens: Int, tasks: [String]) throws(InputError) -> QuestionOptions {
    var options = QuestionOptions()
    options.maxTokens = maxTokens
    options.comparedTokens = calibTokens
    for (task, rule) in score.compactMap(Self.rule) {
      guard task.isEmpty || tasks.contains(task) else {
        let names = tasks.map { printable($0) }.joined(separator: ", ")
        throw InputError("", "--score names task '\(printable(task))'; the set has \(names)")
      }
      options.rules[task] = rule
    }
    return options
  }

  /// The task, empty for all, and the rule of "[task=]rule"; nil if it says no rule.
  private static func rule(_ argument: String) -> (task: String, rule: ScoringRule)? {
    if let rule = ScoringRule(rawValue: argument) { return ("", rule) }
    guard let mark = argument.lastIndex(of: "="), mark != argument.startIndex,
      let rule = ScoringRule(rawValue: String(argument[argument.index(after: mark)...]))
    else { return nil }
    return (String(argument[..<mark]), rule)
  }
}
