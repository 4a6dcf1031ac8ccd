import Architecture
import CommandSupport
import Inference
import Kernels
import TensorCore

/// Where the time and memory of one turn went.
struct RunReport {
  private let turn: Conversation.Turn
  private let session: Session
  private let loadSeconds: Double
  private let firstTokenSeconds: Double

  init(
    turn: Conversation.Turn, session: Session, loadSeconds: Double, start: ContinuousClock.Instant
  ) {
    self.turn = turn
    self.session = session
    self.loadSeconds = loadSeconds
    firstTokenSeconds = turn.timings.firstTokenInstant.map { seconds($0 - start) } ?? 0
  }

  private var stepCount: Int { max(0, turn.answer.ids.count - 1) }

  private func rate(_ count: Int, _ seconds: Double) -> Double {
    seconds > 0 ? Double(count) / seconds : 0
  }

  var json: JSONValue {
    let timings = turn.timings
    let bytes = session.keyValueBytes
    return [
      "text": .string(turn.answer.text),
      "token_ids": .array(turn.answer.ids.map { .integer(Int($0)) }),
      "k": .integer(session.profile.withdrawalLayer),
      "rows": .object(
        JSONObject(
          TokenClass.allCases.map { ($0.name, .integer(session.rowCount(of: $0))) })),
      "seconds": [
        "load": .number(rounded(loadSeconds)), "image": .number(rounded(timings.image)),
        "vision": .number(rounded(timings.vision)), "prefill": .number(rounded(timings.prefill)),
        "first_token": .number(rounded(firstTokenSeconds)),
        "decode": .number(rounded(timings.decode)),
      ],
      "tokens_per_second": [
        "prefill": .number(rounded(rate(turn.promptRows, timings.prefill), 2)),
        "decode": .number(rounded(rate(stepCount, timings.decode), 2)),
      ],
      "kv": .string(session.precision.rawValue),
      "kv_bytes": ["visual": .integer(bytes.visual), "text": .integer(bytes.text)],
      "peak_bytes": .integer(peakMemoryBytes()),
    ]
  }

  /// The same for people.
  var text: String {
    let timings = turn.timings
    let bytes = session.keyValueBytes
    return """
      load         \(timeText(loadSeconds))
      image        \(timeText(timings.image))
      vision       \(timeText(timings.vision))
      prefill      \(timeText(timings.prefill)), \(turn.promptRows) rows, \
      \(fixed(rate(turn.promptRows, timings.prefill), 1)) rows/s; \(session.profile.summary)
      first token  \(timeText(firstTokenSeconds)) after the start
      decode       \(stepCount) tokens, \(fixed(rate(stepCount, timings.decode), 1)) tokens/s
      KV cache     \(byteText(bytes.visual)) visual, \(byteText(bytes.text)) text, \
      \(session.precision.rawValue)
      peak memory  \(byteText(peakMemoryBytes()))

      """
  }
}
