/// The options of a multiple choice, as a question shows them.
///
/// They are the last lines that begin with `A.`, `A)`, `A:` or `(A)` and rise in the alphabet from A
/// on, or else such marks in brackets within a line: `(A) red (B) blue`.
struct ShownOptions: Equatable {
  /// Rising from A on, at least two, or none.
  private(set) var letters: [Character] = []
  /// As `letters`.
  private(set) var texts: [String] = []

  init(in question: String) {
    for line in question.split(whereSeparator: \.isNewline) {
      if let (letter, text) = Self.mark(at: squeezed(String(line))[...]) { add(letter, text) }
    }
    if letters.count < 2 {
      (letters, texts) = ([], [])
      takeBracketed(squeezed(question))
    }
    if letters.count < 2 { (letters, texts) = ([], []) }
  }

  /// The option that an answer means; nil if it means none, or several.
  func letter(in answer: String) -> Character? {
    let answer = Self.plain(answer)
    if answer.count == 1, let letter = answer.uppercased().first, letters.contains(letter) {
      return letter
    }
    if let (letter, rest) = leading(answer) { return leading(rest) == nil ? letter : nil }
    let words = Word.all(in: answer)
    let named = Set(words.indices.compactMap { namedOption(words, after: $0) })
    if !named.isEmpty { return named.count == 1 ? named.first : nil }
    let alone = Set(words.indices.compactMap { optionAlone(words, at: $0) })
    if !alone.isEmpty { return alone.count == 1 ? alone.first : nil }
    return letter(ofText: answer) ?? letter(ofTextIn: answer)
  }

  /// The option that the set's answer names by its letter, or by its text as a whole.
  func letter(ofExpected expected: String) -> Character? {
    let expected = Self.plain(expected)
    if expected.count == 1, let letter = expected.first, letters.contains(letter) { return letter }
    if let (letter, _) = leading(expected) { return letter }
    return letter(ofText: expected)
  }

  /// The one option whose text `text` is, word by word.
  private func letter(ofText text: String) -> Character? {
    let words = letterWords(text)
    let same = letters.indices.filter { letterWords(texts[$0]) == words }
    return same.count == 1 && !words.isEmpty ? letters[same[0]] : nil
  }

  // MARK: Reading the question

  private mutating func add(_ letter: Character, _ text: some StringProtocol) {
    if letter == "A" { (letters, texts) = ([], []) }
    guard letters.last.map({ $0 < letter }) ?? (letter == "A") else { return }
    letters.append(letter)
    texts.append(String(text))
  }

  /// Options in brackets within a line, each up to the next.
  private mutating func takeBracketed(_ text: String) {
    var rest = text[...]
    while let open = rest.firstIndex(of: "(") {
      if letters.count > 0 { texts[letters.count - 1] += rest[..<open] }
      rest = rest[open...]
      if let (letter, after) = Self.mark(at: rest), letter == "A" || !letters.isEmpty {
        let count = letters.count
        add(letter, "")
        if letter == "A" || letters.count > count {
          rest = after
          continue
        }
      }
      if letters.count > 0 { texts[letters.count - 1] += "(" }
      rest = rest.dropFirst()
    }
    if letters.count > 0 { texts[letters.count - 1] += rest }
    texts = texts.map(squeezed)
  }

  /// A capital letter with its mark at the start of `text`, and what follows; nil if there is none.
  private static func mark(at text: Substring) -> (Character, Substring)? {
    let bracket = closing(text.first)
    let inner = bracket == nil ? text : text.dropFirst()
    guard let letter = inner.first, ("A"..."Z").contains(letter) else { return nil }
    let rest = inner.dropFirst()
    guard let mark = rest.first, bracket.map({ mark == $0 }) ?? ".):".contains(mark) else {
      return nil
    }
    let after = rest.dropFirst()
    guard after.isEmpty || after.first?.isWhitespace == true || bracket != nil else { return nil }
    return (letter, after.drop(while: \.isWhitespace))
  }

  private static func closing(_ open: Character?) -> Character? {
    open.flatMap { ["(": ")", "[": "]"][$0] }
  }

  // MARK: Reading an answer

  /// `text` without white space at its ends, emphasis and double quotes.
  private static func plain(_ text: String) -> String {
    var rest = text.filter { !"*_`\"\u{201C}\u{201D}".contains($0) }[...]
    while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
    while rest.last?.isWhitespace == true { rest = rest.dropLast() }
    return String(rest)
  }

  /// An option's letter with its mark at the start, or alone on the first line; and what follows.
  private func leading(_ answer: some StringProtocol) -> (Character, Substring)? {
    let answer = Substring(answer)
    if let (letter, rest) = Self.mark(at: answer), letters.contains(letter) {
      return (letter, rest)
    }
    guard let letter = answer.first, letters.contains(letter),
      answer.dropFirst().first?.isNewline == true
    else { return nil }
    return (letter, answer.dropFirst().drop(while: \.isWhitespace))
  }

  private struct Word {
    var text: String
    /// Whether the text or its sentence ends here, or a mark follows.
    var isLast: Bool

    /// Split at white space and at the marks that VLMEvalKit splits at.
    static func all(in text: String) -> [Word] {
      var words: [Word] = []
      var word = ""
      func end(_ isLast: Bool) {
        if !word.isEmpty {
          words.append(Word(text: word, isLast: isLast))
        } else if isLast, !words.isEmpty {
          words[words.count - 1].isLast = true
        }
        word = ""
      }
      for character in text {
        if ".()[],:;!*#{}?".contains(character) || character.isNewline {
          end(true)
        } else if character.isWhitespace {
          end(false)
        } else {
          word.append(character)
        }
      }
      end(true)
      return words
    }
  }

  private static let announcing: Set<String> = ["answer", "option", "choice"]
  private static let between: Set<String> = [
    "is", "be", "would", "should", "must", "option", "choice", "letter", "the", "correct",
  ]

  /// The option that `words` name right after the word at `index`: "the answer is B".
  private func namedOption(_ words: [Word], after index: Int) -> Character? {
    guard Self.announcing.contains(words[index].text.lowercased()) else { return nil }
    let next = words[(index + 1)...].firstIndex { !Self.between.contains($0.text.lowercased()) }
    guard let next, let letter = optionAlone(words, at: next) else { return nil }
    // "The answer is B or C" names none.
    return isJoined(words, at: next) ? nil : letter
  }

  /// Whether "or" or "and" follows the word at `index`.
  private func isJoined(_ words: [Word], at index: Int) -> Bool {
    guard !words[index].isLast, index + 1 < words.count else { return false }
    return ["or", "and"].contains(words[index + 1].text.lowercased())
  }

  /// The option that the word at `index` is by itself.  "A" and "I" are words too, so they need a
  /// mark, the end, "or" or "and" behind them; what follows "not" is not meant.
  private func optionAlone(_ words: [Word], at index: Int) -> Character? {
    let word = words[index]
    guard word.text.count == 1, let letter = word.text.first, letters.contains(letter),
      word.isLast || (letter != "A" && letter != "I") || isJoined(words, at: index),
      index == 0 || words[index - 1].text.lowercased() != "not"
    else { return nil }
    return letter
  }

  /// The one option whose words are in `answer`, unless the answer is more than twice as long as all
  /// options together: VLMEvalKit's rule, but for whole words.
  private func letter(ofTextIn answer: String) -> Character? {
    guard answer.count <= 2 * texts.reduce(0, { $0 + $1.count }) else { return nil }
    let said = letterWords(answer)
    let found = letters.indices.filter { place in
      let words = letterWords(texts[place])
      guard !words.isEmpty, words.count <= said.count else { return false }
      return (0...said.count - words.count).contains {
        said[$0..<$0 + words.count].elementsEqual(words)
      }
    }
    return found.count == 1 ? letters[found[0]] : nil
  }
}
