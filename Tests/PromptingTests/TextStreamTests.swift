import Architecture
import Prompting
import TensorCore
import Testing

@Suite struct TextStreamTests {
  private let byteLevel = SmallModel.byteLevel(merges: [("a", "b")], controls: ["<s>"])
  private let sentencePiece = SmallModel.scores(["_", "_a", "a", "b"])

  /// What each id gives, then what the end gives.
  private func texts(_ ids: [Int32], _ model: TokenizerModel) throws -> [String] {
    var stream = TextStream(try Tokenizer(model))
    return ids.map { stream.append($0) } + [stream.finish()]
  }

  @Test func unfinishedCharactersWait() throws {
    let euro: [Int32] = [0xE2, 0x82, 0xAC]
    #expect(try texts(euro + [97], byteLevel) == ["", "", "€", "a", ""])
    #expect(try texts([97, 0xE2, 0x82], byteLevel) == ["a", "", "", "\u{FFFD}"])
    #expect(try texts([0xE2, 97], byteLevel) == ["", "\u{FFFD}a", ""])
    #expect(
      try texts([0xC0, 0xF0, 0x9F, 0x99, 0x82], byteLevel)
        == ["\u{FFFD}", "", "", "", "🙂", ""])
    #expect(try texts([0xF0, 0x80], byteLevel) == ["", "\u{FFFD}\u{FFFD}", ""])
  }

  @Test func runsOfBytePiecesWaitForTheirEnd() throws {
    let first = Int32(3)  // the piece of byte 0
    let euro = [0xE2, 0x82, 0xAC].map { first + $0 }
    #expect(try texts(euro + [261], sentencePiece) == ["", "", "", "€a", ""])
    #expect(try texts(euro, sentencePiece) == ["", "", "", "€"])
    // One wrong byte spoils its run, as with Hugging Face.
    #expect(
      try texts(euro + [first + 0xFF, 261], sentencePiece)
        == ["", "", "", "", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}a", ""])
    // Control pieces give no text and end no run.
    #expect(
      try texts([euro[0], euro[1], 2, euro[2], 261], sentencePiece)
        == ["", "", "", "", "€a", ""])
  }

  @Test func onlyTheFirstSpaceIsTakenOff() throws {
    #expect(try texts([260, 260], sentencePiece) == ["a", " a", ""])
    #expect(try texts([1, 259, 260], sentencePiece) == ["", "", " a", ""])
    #expect(try texts([261, 260], sentencePiece) == ["a", " a", ""])
    var plain = sentencePiece
    plain.flags.remove(.prefixesSpace)
    #expect(try texts([260], plain) == [" a", ""])
  }

  @Test(arguments: [true, false]) func partsJoinToTheWhole(skipsSpecial: Bool) throws {
    var random = SplitMix64(seed: 21)
    for model in [byteLevel, sentencePiece] {
      let tokenizer = try Tokenizer(model)
      for _ in 0..<500 {
        let ids = (0..<random.next(below: 12)).map { _ in
          Int32(
            random.next(below: 2) == 0 ? 0xC0 + random.next(below: 64) : random.next(below: 270))
        }
        var stream = TextStream(tokenizer, skipsSpecial: skipsSpecial)
        var joined = ""
        for id in ids { joined += stream.append(id) }
        joined += stream.finish()
        let whole = tokenizer.decode(ids, skipsSpecial: skipsSpecial)
        #expect(ExactString(joined) == ExactString(whole), "\(ids)")
        if model.kind == .byteLevel {
          let bytes = ids.compactMap { tokenizer.piece($0) }
            .filter { !skipsSpecial || $0.kind == .normal }.flatMap(\.bytes)
          #expect(ExactString(whole) == ExactString(String(decoding: bytes, as: UTF8.self)))
        }
      }
    }
  }
}
