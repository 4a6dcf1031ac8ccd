package import TensorCore
import Inference
import SampleSets

/// A result as a line of a results file: `formats/evaluation.md`.
extension QuestionResult {
  package var json: JSONValue {
    [
      "id": .string(id), "task": .string(task),
      "score": rule.map { .string($0.rawValue) } ?? .null,
      "seconds": ["image": .number(imageSeconds), "vision": .number(visionSeconds)],
      "runs": .array(runs.map(\.json)),
    ]
  }

  /// The result that `value` holds of `sample`; nil if it holds none with `runCount` runs.
  init?(_ value: JSONValue, of sample: Sample, runCount: Int) {
    guard let seconds = value["seconds"], let imageSeconds = seconds["image"]?.doubleValue,
      let visionSeconds = seconds["vision"]?.doubleValue, let runs = value["runs"]?.arrayValue,
      runs.count == runCount, value["task"]?.stringValue == sample.task
    else { return nil }
    let rule = value["score"]?.stringValue.flatMap(ScoringRule.init)
    let read = runs.compactMap(Run.init)
    guard read.count == runCount, rule == nil || sample.answer != nil,
      read.allSatisfy({ ($0.isCorrect != nil) == (rule != nil) }),
      read.allSatisfy({ $0.kl.count == read[0].kl.count })
    else { return nil }
    self.init(
      id: sample.id, task: sample.task, image: sample.soleImage, rule: rule,
      imageSeconds: imageSeconds, visionSeconds: visionSeconds, runs: read)
  }
}

extension QuestionResult.Run {
  private static let ends: [(end: Answer.End, name: String)] = [
    (.endOfText, "end"), (.stopText, "stop"), (.tokenLimit, "limit"), (.contextFull, "context"),
  ]

  fileprivate var json: JSONValue {
    [
      "answer": .string(answer), "tokens": .integer(tokenCount),
      "end": .string(Self.ends.first { $0.end == end }?.name ?? ""),
      "correct": isCorrect.map(JSONValue.bool) ?? .null,
      "seconds": ["prefill": .number(prefillSeconds), "decode": .number(decodeSeconds)],
      "kl": .array(kl.map(JSONValue.number)),
      "agrees": .string(agrees.map { $0 ? "1" : "0" }.joined()),
    ]
  }

  fileprivate init?(_ value: JSONValue) {
    guard let answer = value["answer"]?.stringValue, let tokens = value["tokens"]?.integerValue,
      let end = Self.ends.first(where: { $0.name == value["end"]?.stringValue })?.end,
      let prefill = value["seconds"]?["prefill"]?.doubleValue,
      let decode = value["seconds"]?["decode"]?.doubleValue,
      let kl = value["kl"]?.arrayValue?.compactMap(\.doubleValue),
      let agrees = value["agrees"]?.stringValue?.utf8.map({ $0 == UInt8(ascii: "1") }),
      tokens >= 0, prefill >= 0, decode >= 0, !kl.isEmpty, kl.allSatisfy({ $0 >= 0 }),
      kl.count == value["kl"]?.arrayValue?.count, kl.count == agrees.count
    else { return nil }
    self.init(
      answer: answer, tokenCount: tokens, end: end, isCorrect: value["correct"]?.boolValue,
      prefillSeconds: prefill, decodeSeconds: decode, kl: kl, agrees: agrees)
  }
}
