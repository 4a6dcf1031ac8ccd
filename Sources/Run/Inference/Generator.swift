package import Kernels
package import Prompting
package import TensorCore

/// When an answer ends.
package struct StopRule: Sendable {
  package var endOfTextIDs: Set<Int32>
  /// Texts that end the answer; they are not part of it.
  package var texts: [String]
  package var maxTokens: Int
  /// Whether the end-of-text ids are generated like any other token.
  package var ignoresEndOfText: Bool

  package init(
    endOfTextIDs: Set<Int32>, texts: [String] = [], maxTokens: Int, ignoresEndOfText: Bool = false
  ) {
    self.endOfTextIDs = endOfTextIDs
    self.texts = texts
    self.maxTokens = maxTokens
    self.ignoresEndOfText = ignoresEndOfText
  }
}

/// An answer and how it came about.
package struct Answer: Sendable {
  package enum End: Sendable { case endOfText, stopText, tokenLimit, contextFull }

  package var ids: [Int32]
  package var text: String
  package var end: End
  /// The last token if the session has not seen it yet; a further turn must begin with it.
  package var pending: Int32?
}

/// Generates an answer token by token.
package struct Generator {
  private let tokenizer: Tokenizer
  private let stop: StopRule

  package init(_ tokenizer: Tokenizer, stop: StopRule) {
    self.tokenizer = tokenizer
    self.stop = stop
  }

  /// Continues `session` from the logits of its last row.
  ///
  /// An end-of-text token is not appended to the session: the template's own text follows instead.
  ///
  /// - Parameter emit: receives the text in pieces that are whole characters.
  package func generate(
    _ session: Session, from logits: Rows, sampler: inout Sampler, emit: (String) -> Void
  ) throws(InputError) -> Answer {
    var logits = logits
    var answer = Answer(ids: [], text: "", end: .tokenLimit)
    var stream = TextStream(tokenizer)
    var held = HeldText(stops: stop.texts)
    func deliver(_ text: String) {
      answer.text += text
      if !text.isEmpty { emit(text) }
    }
    while answer.ids.count < stop.maxTokens {
      let token = try sampler.next(logits)
      if stop.endOfTextIDs.contains(token), !stop.ignoresEndOfText {
        answer.end = .endOfText
        break
      }
      answer.ids.append(token)
      answer.pending = token
      deliver(held.append(stream.append(token)))
      if held.isStopped {
        answer.end = .stopText
        return answer
      }
      guard session.room > 0 else {
        answer.end = .contextFull
        break
      }
      if answer.ids.count < stop.maxTokens {
        logits = session.step(token)
        answer.pending = nil
      }
    }
    deliver(held.append(stream.finish()))
    if held.isStopped {
      answer.end = .stopText
    } else {
      deliver(held.finish())
    }
    return answer
  }
}

/// Holds back text that may be the beginning of a stop text.
private struct HeldText {
  let stops: [String]
  private var pending = ""
  private(set) var isStopped = false

  init(stops: [String]) { self.stops = stops.filter { !$0.isEmpty } }

  /// The text that is safe to show now.
  mutating func append(_ text: String) -> String {
    guard !stops.isEmpty else { return text }
    pending += text
    let bytes = Array(pending.utf8)
    var earliest: Int?
    for stop in stops {
      if let place = Self.find(Array(stop.utf8), in: bytes), place < earliest ?? Int.max {
        earliest = place
      }
    }
    if let earliest {
      isStopped = true
      pending = ""
      return String(decoding: bytes[..<earliest], as: UTF8.self)
    }
    // The longest end of the text that begins some stop text stays back.
    var keep = 0
    for stop in stops {
      let stopBytes = Array(stop.utf8)
      for length in stride(from: min(stopBytes.count - 1, bytes.count), to: keep, by: -1)
      where bytes.suffix(length).elementsEqual(stopBytes.prefix(length)) {
        keep = length
        break
      }
    }
    pending = String(decoding: bytes.suffix(keep), as: UTF8.self)
    return String(decoding: bytes.dropLast(keep), as: UTF8.self)
  }

  mutating func finish() -> String {
    defer { pending = "" }
    return pending
  }

  private static func find(_ needle: [UInt8], in bytes: [UInt8]) -> Int? {
    guard needle.count <= bytes.count else { return nil }
    return (0...bytes.count - needle.count).first {
      bytes[$0..<$0 + needle.count].elementsEqual(needle)
    }
  }
}
