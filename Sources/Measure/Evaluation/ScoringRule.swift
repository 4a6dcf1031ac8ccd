package import SampleSets

/// How an answer is judged against the set's own: `formats/evaluation.md` defines each.
package enum ScoringRule: String, CaseIterable, Sendable {
  case exact
  /// The letter of an option that the question shows.
  case option
  case yesNo = "yes-no"
  case contains

  /// The rule that a sample's question and answer ask for; nil without an answer.
  ///
  /// Never `contains`, which forgives too much to be chosen unasked.
  package static func fitting(_ sample: Sample) -> ScoringRule? {
    guard let expected = sample.answer else { return nil }
    if ShownOptions(in: sample.question ?? "").letter(ofExpected: expected) != nil {
      return .option
    }
    return plainYesNo(expected) != nil ? .yesNo : .exact
  }

  /// Whether `answer` is right.
  ///
  /// - Parameter expected: the set's own answer; one that the rule cannot read makes every answer
  ///   wrong.
  package func accepts(_ answer: String, expected: String, question: String) -> Bool {
    switch self {
    case .exact: return exactForm(answer) == exactForm(expected)
    case .contains:
      let part = squeezed(expected).lowercased()
      return !part.isEmpty && squeezed(answer).lowercased().contains(part)
    case .yesNo:
      guard let right = saidYesNo(expected) else { return false }
      return saidYesNo(answer) == right
    case .option:
      let options = ShownOptions(in: question)
      guard let right = options.letter(ofExpected: expected) else { return false }
      return options.letter(in: answer) == right
    }
  }
}

/// Lower case, white space squeezed, and without full stops at the end, as LLaVA's evaluation of GQA
/// (`convert_gqa_for_eval.py`); a text of full stops alone keeps them.
private func exactForm(_ text: String) -> String {
  let text = squeezed(text).lowercased()
  var rest = text[...]
  while rest.last == "." || rest.last == " " { rest = rest.dropLast() }
  return rest.isEmpty ? text : String(rest)
}

/// `text` with each run of white space as one space, and none at both ends.
func squeezed(_ text: String) -> String {
  text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}

/// What `text` says if it is nothing but "yes" or "no", marks aside.
private func plainYesNo(_ text: String) -> Bool? {
  let words = letterWords(text)
  return words.count == 1 ? yesNoWord(words[0]) : nil
}

/// Yes or no by the first word, as MME's own evaluation, but as a whole word; else by whichever of
/// the two is the only one among the words, as VLMEvalKit's.  Nil if neither tells.
private func saidYesNo(_ text: String) -> Bool? {
  let words = letterWords(text)
  if let first = words.first.flatMap(yesNoWord) { return first }
  let said = Set(words.compactMap(yesNoWord))
  return said.count == 1 ? said.first : nil
}

private func yesNoWord(_ word: String) -> Bool? { ["yes": true, "no": false][word] }

/// The runs of letters and digits of `text`, in lower case.
func letterWords(_ text: String) -> [String] {
  text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
}
