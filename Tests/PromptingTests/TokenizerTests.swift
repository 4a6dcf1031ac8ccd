import Architecture
import Prompting
import TensorCore
import Testing

@Suite struct TokenizerTests {
  /// Ids of `text` as pieces, for reading: "_a b <0A>".
  private func pieces(
    _ text: String, _ model: TokenizerModel, addsSpecialTokens: Bool = false
  ) throws -> String {
    let tokenizer = try Tokenizer(model)
    return tokenizer.encode(text, addsSpecialTokens: addsSpecialTokens).map { id in
      guard let piece = tokenizer.piece(id) else { return "?" }
      if piece.kind == .byte { return "<" + String(piece.bytes[0], radix: 16) + ">" }
      return String(
        String.UnicodeScalarView(
          String(decoding: piece.bytes, as: UTF8.self).unicodeScalars.map {
            $0 == "\u{2581}" ? "_" : $0
          }))
    }.joined(separator: " ")
  }

  @Test func highestScoreIsMergedFirst() throws {
    let texts = ["bc", "ab", "_", "a", "b", "c"]
    #expect(try pieces("abc", SmallModel.scores(texts)) == "_ a bc")
    #expect(try pieces("abc", SmallModel.scores(["ab", "bc"] + texts.dropFirst(2))) == "_ ab c")
  }

  @Test func ofEqualScoresTheLeftmostPairIsMerged() throws {
    #expect(try pieces("aaaaa", SmallModel.scores(["aa", "a", "_"])) == "_ aa aa a")
  }

  @Test func lowestRankIsMergedFirst() throws {
    let merges = [("b", "c"), ("a", "b"), ("ab", "c")]
    #expect(try pieces("abc", SmallModel.byteLevel(merges: merges)) == "a bc")
    #expect(
      try pieces("abcab", SmallModel.byteLevel(merges: [merges[1], merges[2], merges[0]]))
        == "abc ab")
  }

  @Test func wholePartsAreTakenWithoutMergingWhereFlagged() throws {
    // "abc" is a piece, but no merge leads to it.
    var model = SmallModel.byteLevel(merges: [("b", "c")], splitter: .gpt2)
    model.pieces.append(SmallModel.piece("abc", .normal))
    #expect(try pieces("abc abc", model) == "a bc   a bc")
    model.flags.insert(.ignoresMerges)
    #expect(try pieces("abc abc", model) == "abc   a bc")
  }

  @Test func canonicallyEquivalentPiecesStayApart() throws {
    let composed = "\u{E9}"
    let decomposed = "e\u{301}"
    let model = SmallModel.scores([decomposed, "_", composed, "e", "\u{301}"])
    let tokenizer = try Tokenizer(model)
    let first = Int32(SmallModel.firstText)
    #expect(tokenizer.encode(composed, addsSpecialTokens: false) == [first + 1, first + 2])
    #expect(tokenizer.encode(decomposed, addsSpecialTokens: false) == [first + 1, first])
    #expect(tokenizer.decode([first]).unicodeScalars.count == 2)
  }

  @Test func charactersOutsideTheVocabularyBecomeBytes() throws {
    #expect(try pieces("aé\n", SmallModel.scores(["_", "a"])) == "_ a <c3> <a9> <a>")
  }

  @Test func withoutBytesARunOfUnknownsIsOnePiece() throws {
    let model = SmallModel.scores(["_", "a"], flags: [.prefixesSpace])
    #expect(try pieces("xyaz", model) == "_ <unk> a <unk>")
  }

  @Test func spaceIsPutBeforeEveryRunOrTheFirst() throws {
    let texts = ["_", "a", "b"]
    func flags(_ more: TokenizerModel.Flags) -> TokenizerModel {
      SmallModel.scores(texts, flags: more)
    }
    #expect(try pieces("a<s>b", flags(.prefixesSpace)) == "_ a <s> _ b")
    #expect(try pieces(" a", flags(.prefixesSpace)) == "_ _ a")
    #expect(try pieces("a<s>b", flags(.prefixesFirstSpaceOnly)) == "_ a <s> b")
    #expect(try pieces("<s>b", flags(.prefixesFirstSpaceOnly)) == "<s> b")
    #expect(try pieces(" a", flags([.prefixesSpace, .keepsLeadingSpace])) == "_ a")
    #expect(try pieces("a<s> b", flags([.prefixesSpace, .keepsLeadingSpace])) == "_ a <s> _ b")
    #expect(try pieces("a b", flags([])) == "a _ b")
    #expect(try pieces("", flags(.prefixesSpace)) == "")
  }

  @Test func extraSpacesAreRemovedWhereFlagged() throws {
    let model = SmallModel.scores(["_", "a"], flags: [.prefixesSpace, .removesExtraSpaces])
    #expect(try pieces("  a   a  ", model) == "_ a _ a")
    #expect(try pieces("   ", model) == "")
  }

  @Test func specialTokensAreFoundFirstAndTheLongestWins() throws {
    let model = SmallModel.byteLevel(
      merges: [("<", "|")], controls: ["<|a", "<|a|>", "<|a|>b"])
    #expect(try pieces("x<|a|>bc<|a<|", model) == "x <|a|>b c <|a <|")
    #expect(try pieces("<|", model) == "<|")
  }

  @Test func specialTokensTakeWhiteSpaceAlongWhereFlagged() throws {
    let flags: TokenizerModel.Flags = [.stripsLeftOfSpecial, .stripsRightOfSpecial]
    let model = SmallModel.byteLevel(flags: flags, controls: ["<s>"])
    #expect(try pieces("a \u{3000}\n<s> \t<s>  b", model) == "a <s> <s> b")
    let left = SmallModel.byteLevel(flags: .stripsLeftOfSpecial, controls: ["<s>"])
    #expect(try pieces("a <s> <s>b", left) == "a <s> <s> b")
  }

  @Test func beginningAndEndAreAddedWhereFlagged() throws {
    var model = SmallModel.scores(["_", "a"])
    #expect(try pieces("a", model, addsSpecialTokens: true) == "<s> _ a")
    #expect(try pieces("", model, addsSpecialTokens: true) == "<s>")
    model.flags.insert(.addsEOS)
    #expect(try pieces("a", model, addsSpecialTokens: true) == "<s> _ a </s>")
    #expect(try pieces("a", model) == "_ a")
  }

  @Test func textIsComposedWhereFlagged() throws {
    let tokenizer = try Tokenizer(SmallModel.byteLevel(flags: .normalizesNFC))
    // Composition, reordering of marks, a singleton, Hangul, an exclusion that comes apart.
    let cases = [
      ("e\u{301}", "\u{E9}"), ("a\u{300}\u{323}", "\u{1EA1}\u{300}"), ("\u{212B}", "\u{C5}"),
      ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"), ("=\u{338}x", "\u{2260}x"), ("abc", "abc"),
      ("\u{301}a", "\u{301}a"), ("\u{958}", "\u{915}\u{93C}"),
    ]
    for (text, composed) in cases {
      #expect(tokenizer.encode(text) == composed.utf8.map { Int32($0) }, "\(text)")
    }
  }

  @Test func idsOutsideTheVocabularyDecodeToNothing() throws {
    let tokenizer = try Tokenizer(SmallModel.scores(["_", "a"]))
    #expect(tokenizer.decode([-1, 259, 260, 9999, .max, .min]) == "a")
    #expect(tokenizer.piece(9999) == nil)
  }

  @Test func specialTokensDecodeOnlyIfAsked() throws {
    let tokenizer = try Tokenizer(SmallModel.scores(["_", "a"]))
    #expect(tokenizer.decode([1, 259, 260, 2]) == "a")
    #expect(tokenizer.decode([1, 259, 260, 2], skipsSpecial: false) == "<s> a</s>")
  }

  @Test(.timeLimit(.minutes(1))) func longTextsTakeNoQuadraticTime() throws {
    let text = String(repeating: "a", count: 1_000_000)
    let scores = try Tokenizer(SmallModel.scores(["aa", "aaaa", "_", "a"]))
    #expect(scores.encode(text).count == 2 + 250_000)
    let merges = try Tokenizer(SmallModel.byteLevel(merges: [("a", "a"), ("aa", "aa")]))
    #expect(merges.encode(text).count == 250_000)
    // Marks that normalisation has to bring in order.
    var model = SmallModel.byteLevel(merges: [], splitter: .qwen2)
    model.flags.insert(.normalizesNFC)
    let marks = String(repeating: "\u{301}\u{323}", count: 100_000)
    let ordered =
      String(repeating: "\u{323}", count: 100_000) + String(repeating: "\u{301}", count: 100_000)
    let tokenizer = try Tokenizer(model)
    #expect(tokenizer.encode(marks) == tokenizer.encode(ordered))
    #expect(tokenizer.encode(marks).count == 400_000)
  }

  @Test func anyTextComesBack() throws {
    let tokenizers = [
      try Tokenizer(SmallModel.scores(["_", "a", "é", "_a"])),
      try Tokenizer(SmallModel.byteLevel(merges: [("a", " ")], splitter: .llama3)),
      try Tokenizer(SmallModel.byteLevel(splitter: .digitsGPT2)),
    ]
    var random = SplitMix64(seed: 4)
    for _ in 0..<300 {
      var text = ""
      for _ in 0..<random.next(below: 20) {
        let bits = [7, 11, 16, 21][random.next(below: 4)]
        if let scalar = Unicode.Scalar(UInt32(random.next(below: 1 << bits))),
          scalar != "\u{2581}"
        {
          text.unicodeScalars.append(scalar)
        }
      }
      for tokenizer in tokenizers {
        let back = tokenizer.decode(tokenizer.encode(text))
        #expect(ExactString(back) == ExactString(text))
      }
    }
  }

  @Test func modelsThatContradictThemselvesAreRefused() throws {
    let good = SmallModel.byteLevel(merges: [("a", "b")], controls: ["<s>"])
    _ = try Tokenizer(good)
    func expectError(_ problem: String, _ change: (inout TokenizerModel) -> Void) {
      var model = good
      change(&model)
      #expect(throws: InputError("", "tokenizer: \(problem)")) { try Tokenizer(model) }
    }
    expectError("it has no pieces") { $0.pieces = [] }
    expectError("pieces 97 and 258 are equal") {
      $0.pieces.append(SmallModel.piece("a", .normal))
    }
    expectError("pieces 257 and 258 are equal") {
      $0.pieces.append(SmallModel.piece("<s>", .user))
    }
    expectError("piece 3 is empty") { $0.pieces[3].bytes = [] }
    expectError("byte piece 258 has 2 bytes") { $0.pieces.append(SmallModel.piece("ab", .byte)) }
    expectError("the score of piece 5 is not finite") { $0.pieces[5].score = .nan }
    expectError("merge 0 has id 258, outside the 258 pieces") { $0.merges[0].right = 258 }
    expectError("merge 0 has id -1, outside the 258 pieces") { $0.merges[0].left = -1 }
    expectError("merge 0 joins 97 and 99, but not to its result") { $0.merges[0].right = 99 }
    expectError("merge 1 repeats an earlier one") { $0.merges.append($0.merges[0]) }
    expectError("the BOS id 258 lies outside the 258 pieces") { $0.bosID = 258 }
    expectError("only byte-level vocabularies have a splitting rule") {
      $0.kind = .sentencePieceMerges
      $0.splitter = .gpt2
    }
    expectError("a vocabulary merged by score has a list of merges") {
      $0.kind = .sentencePieceScores
    }
    expectError("only byte-level vocabularies can be normalised to NFC") {
      $0.kind = .sentencePieceMerges
      $0.flags = .normalizesNFC
    }
  }

  @Test func recordedTestsHoldUntilTheVocabularyChanges() throws {
    let model = try SmallModel.scores(["_a", "_", "a", "b"]).recordingTests()
    #expect((5...20).contains(model.tests.count))
    #expect(try Tokenizer(model).firstFailedTest() == nil)
    var changed = model
    changed.pieces[SmallModel.firstText].score = -9
    changed.pieces[SmallModel.firstText].bytes = Array("zzz".utf8)
    #expect(try Tokenizer(changed).firstFailedTest() != nil)
  }
}
