import Evaluation
import SampleSets
import Testing

@Suite struct ScoringRuleTests {
  private func sample(_ question: String?, _ answer: String?) -> Sample {
    Sample(id: "1", task: "t", images: [], question: question, answer: answer)
  }

  static let choice = """
    Hint: Look up.
    Question: What color is it?
    Options:
    A. red
    B. light blue
    C. blue
    D. a dog
    Please select the correct answer from the options above.\u{20}

    """

  // MARK: Which rule

  @Test(arguments: [
    (choice, "B", ScoringRule.option), (choice, "(C)", .option), (choice, "C. blue", .option),
    (choice, "light blue", .option), (choice, "E", .exact), (choice, "green", .exact),
    (choice, "yes", .yesNo), ("Is it red?\nA. yes\nB. no", "no", .option),
    ("Is it red?", "Yes", .yesNo), ("Is it red?", " no. ", .yesNo),
    ("Is it?", "Yes, it is", .exact),
    ("Which letter is it?", "B", .exact), ("A. Smith wrote it. Who?", "A", .exact),
    ("Pick: (A) one (B) two", "A", .option), ("Pick: (B) one (C) two", "B", .exact),
    ("How many?", "7", .exact), ("What?", "...", .exact),
  ])
  func fitsQuestionAndAnswer(question: String, answer: String, rule: ScoringRule) {
    #expect(ScoringRule.fitting(sample(question, answer)) == rule)
  }

  @Test func nothingFitsWithoutAnAnswer() {
    #expect(ScoringRule.fitting(sample(Self.choice, nil)) == nil)
    var options = QuestionOptions()
    options.rules = ["": .exact]
    #expect(options.rule(for: sample("?", nil)) == nil)
  }

  @Test func askedForRulesComeFirst() {
    var options = QuestionOptions()
    #expect(options.rule(for: sample("Is it?", "yes")) == .yesNo)
    options.rules[""] = .contains
    #expect(options.rule(for: sample("Is it?", "yes")) == .contains)
    options.rules["t"] = .exact
    #expect(options.rule(for: sample("Is it?", "yes")) == .exact)
    options.rules = ["other": .contains]
    #expect(options.rule(for: sample("Is it?", "yes")) == .yesNo)
  }

  // MARK: Exact match

  @Test(arguments: [
    ("Red", "red", true), (" red.\n", "red", true), ("red..", "Red", true), ("red .", "red", true),
    ("dark  red", "dark red", true), ("dark\tred", "dark\nred", true), ("", "red", false),
    ("red!", "red", false), ("a red", "red", false), (".", ".", true), ("", ".", false),
    ("..", ".", false), ("caf\u{E9}", "cafe\u{301}", true), ("CAFÉ", "café", true),
    ("STRASSE", "straße", false), ("1.0", "1", false), ("1.", "1", true), ("\u{0}", "", false),
    ("red\u{200B}", "red", false), ("猫 🐈", "猫 🐈", true), ("👩‍👩‍👧", "👩", false),
  ])
  func exactMatch(answer: String, expected: String, isRight: Bool) {
    #expect(ScoringRule.exact.accepts(answer, expected: expected, question: "") == isRight)
  }

  // MARK: Contains

  @Test(arguments: [
    ("It says CENTRE here.", "centre", true), ("two\nwords", "TWO words", true),
    ("12", "1", true), ("", "1", false), ("anything", " ", false), ("anything", "", false),
    ("a", "abc", false), ("no. 5", "5.", false), ("caf\u{E9}s", "cafe\u{301}", true),
    // A digit with a mark on it is another character.
    ("1\u{20E3}", "1", false),
  ])
  func contains(answer: String, expected: String, isRight: Bool) {
    #expect(ScoringRule.contains.accepts(answer, expected: expected, question: "") == isRight)
  }

  // MARK: Yes or no

  @Test(arguments: [
    ("Yes", true), ("yes.", true), ("YES!", true), ("\n Yes, it is.", true), ("(yes)", true),
    ("Yes and no", true), ("No, yes", false), ("no", false), ("No.", false), ("**No**", false),
    ("The answer is yes.", true), ("There is no dog.", false), ("\"no\"", false),
    ("Yesterday", nil), ("Nothing", nil), ("not", nil), ("know", nil), ("", nil), ("...", nil),
    ("It is yes or no", nil), ("eyes", nil), ("n", nil), ("nо", nil),  // a Cyrillic letter
    ("yes_no", true), ("yes1", nil), ("Ｙｅｓ", nil),
  ])
  func yesOrNo(answer: String, means: Bool?) {
    for (expected, value) in [("Yes", true), ("no.", false)] {
      let isRight = ScoringRule.yesNo.accepts(answer, expected: expected, question: "")
      #expect(isRight == (means == value), "\(answer) for \(expected)")
    }
    #expect(!ScoringRule.yesNo.accepts(answer, expected: "maybe", question: ""))
  }

  // MARK: Options

  @Test(arguments: [
    ("B", "B"), ("b", "B"), (" B \n", "B"), ("B.", "B"), ("B)", "B"), ("B:", "B"), ("(B)", "B"),
    ("[B]", "B"), ("**B**", "B"), ("\"B\"", "B"), ("B. light blue", "B"), ("(B) light blue", "B"),
    ("(B)light blue", "B"), ("B\nbecause", "B"), ("B, because", "B"), ("Answer: B", "B"),
    ("answer : (B).", "B"), ("The answer is B.", "B"), ("The correct answer is option B", "B"),
    ("The answer is A.", "A"), ("The answer is A", "A"), ("Option B is right, not C.", "B"),
    ("I think it is B.", "B"), ("A", "A"), ("A.", "A"), ("It must be A!", "A"),
    ("B. The others, A and C, are wrong.", "B"), ("light blue", "B"), ("Light Blue.", "B"),
    ("It is a red one", "A"), ("The correct choice is B: light blue", "B"),
    ("D. a dog", "D"), ("There is a dog.", "D"), ("A dog is there", "D"),
    ("Blue dogs bark", "C"),
  ])
  func readsOptions(answer: String, letter: String) {
    for expected in ["A", "B", "C", "D"] {
      let isRight = ScoringRule.option.accepts(answer, expected: expected, question: Self.choice)
      #expect(isRight == (expected == letter), "'\(answer)' for \(expected)")
    }
  }

  @Test(arguments: [
    "", " ", ".", "E", "(E)", "E. none", "The answer is A or B", "B or C",
    "The answer is not B.", "A. B. C. D.", "A, B, C", "AB", "Bluebirds", "bored",
    "The answer is B. The answer is C.", "B's", "Β",  // a Greek letter
    "none of the above", "red and a dog", "()", "(", "A:B", "*", "\u{1F170}",
  ])
  func readsNoOption(answer: String) {
    for expected in ["A", "B", "C", "D"] {
      #expect(
        !ScoringRule.option.accepts(answer, expected: expected, question: Self.choice),
        "'\(answer)' for \(expected)")
    }
  }

  /// A text that is part of another option's, and one that is too long to be read for texts.
  @Test func optionsByTheirText() {
    func accepts(_ answer: String, _ expected: String) -> Bool {
      ScoringRule.option.accepts(answer, expected: expected, question: Self.choice)
    }
    #expect(!accepts("It is light blue", "C") && !accepts("It is light blue", "B"))
    #expect(accepts("It is blue", "C"))
    #expect(!accepts("red " + String(repeating: "and so on ", count: 8), "A"))
    #expect(accepts("A", "red") && accepts("light blue", "B. light blue"))
    #expect(!accepts("green", "green"))
  }

  @Test(arguments: [
    "Which?\n(A) one\n(B) two", "Which?\nA) one\nB) two", "Which?\nA: one\nB: two",
    "Which? Options: (A) one (B) two", "Which?\n  A.  one\r\n  B.  two\r\n",
    "Context: A. is a letter\nWhich?\nA. one\nB. two\nAnswer with the letter.",
    "What (if any)?\n(A) one (B) two (really)",
  ])
  func findsOptionsInTheQuestion(question: String) {
    #expect(ScoringRule.option.accepts("B", expected: "B", question: question))
    #expect(ScoringRule.option.accepts("one", expected: "A", question: question))
    #expect(ScoringRule.fitting(sample(question, "B")) == .option)
  }

  /// An empty option is left out by VLMEvalKit's tables.
  @Test func lettersMayHaveGaps() {
    let question = "Which?\nA. one\nC. three"
    #expect(ScoringRule.option.accepts("C", expected: "three", question: question))
    #expect(!ScoringRule.option.accepts("B", expected: "three", question: question))
    #expect(ScoringRule.fitting(sample(question, "B")) == .exact)
  }

  @Test func longAnswersAreReadInTime() {
    let long = String(repeating: "(A the answer is ", count: 20_000)
    for rule in ScoringRule.allCases {
      _ = rule.accepts(long, expected: "B", question: Self.choice + long)
    }
  }
}
