import Architecture
import Prompting
import TensorCore
import Testing

@Suite struct TextSplitterTests {
  private func parts(_ text: String, _ rule: TokenizerModel.Splitter) -> [String] {
    var splitter = TextSplitter(rule)
    let bytes = Array(text.utf8)
    return splitter.parts(of: bytes).map { String(decoding: bytes[$0], as: UTF8.self) }
  }

  @Test func gpt2KeepsOneSpaceWithAWord() {
    #expect(
      parts("It's  a test: x2y\n\n z ", .gpt2)
        == ["It", "'s", " ", " a", " test", ":", " x", "2", "y", "\n\n", " z", " "])
    #expect(parts("'ll'LL 'd", .gpt2) == ["'ll", "'", "LL", " '", "d"])
    #expect(parts(" \n a", .gpt2) == [" \n", " a"])
    #expect(parts("1234 ½!?", .gpt2) == ["1234", " ½", "!?"])
  }

  @Test func llama3TakesThreeDigitsAndOneSignBeforeAWord() {
    #expect(parts("12345 (abc) I'M", .llama3) == ["123", "45", " (", "abc", ")", " I", "'M"])
    #expect(parts("(abc\t\tdef", .llama3) == ["(abc", "\t", "\tdef"])
    #expect(parts("a!\n\n b  \n  c", .llama3) == ["a", "!\n\n", " b", "  \n", " ", " c"])
    #expect(parts("\r\nx", .llama3) == ["\r\n", "x"])
    #expect(parts("'\u{17F}x 'RE", .llama3) == ["'\u{17F}", "x", " '", "RE"])
  }

  @Test func qwen2TakesEveryDigitAlone() {
    #expect(parts("12 3", .qwen2) == ["1", "2", " ", "3"])
    #expect(parts("x's", .qwen2) == ["x", "'s"])
  }

  @Test func digitsAreCutOutBeforeGPT2() {
    #expect(parts("a  12 b", .digitsGPT2) == ["a", "  ", "1", "2", " b"])
    #expect(parts("a  12 b", .gpt2) == ["a", " ", " 12", " b"])
  }

  @Test func marksAreNoLetters() {
    #expect(parts("e\u{301}x", .gpt2) == ["e", "\u{301}", "x"])
    #expect(parts("e\u{301}x", .llama3) == ["e", "\u{301}x"])
  }

  @Test func partsAreAllOfTheText() {
    var random = SplitMix64(seed: 11)
    let scalars = Array("ab '\u{17F}s0\u{BD}.\n\r\t\u{3000}é中🙂\u{301}".unicodeScalars)
    for rule in TokenizerModel.Splitter.allCases {
      #expect(parts("", rule).isEmpty)
      for _ in 0..<200 {
        var text = ""
        for _ in 0..<random.next(below: 12) {
          text.unicodeScalars.append(scalars[random.next(below: scalars.count)])
        }
        let parts = parts(text, rule)
        #expect(ExactString(parts.joined()) == ExactString(text), "\(rule)")
        #expect(!parts.contains(""))
      }
    }
  }

  @Test func brokenUTF8DoesNotTrap() {
    for rule in TokenizerModel.Splitter.allCases {
      var splitter = TextSplitter(rule)
      for bytes: [UInt8] in [[0xFF], [0xE4, 0xBD], [0x80, 0x61], [0xF8, 0x80, 0x80, 0x80, 0x80]] {
        #expect(splitter.parts(of: bytes).last?.upperBound == bytes.count)
      }
    }
  }
}
