import TensorCore
import Testing
import VTWMFile

/// Section TOKN.
@Suite struct TokenizerSectionTests {
  let fixture: MalformedFixture

  init() throws { fixture = try MalformedFixture() }

  // 13 pieces of 44 bytes together, 2 merges, 2 tests.
  static let offsets = 64
  static let scores = offsets + 4 * 14
  static let kinds = scores + 4 * 13
  static let merges = kinds + 16
  static let text = merges + 2 * 12

  static func tokenizer(
    _ description: String, _ offset: Int, _ value: some FixedWidthInteger & Sendable,
    says message: String
  ) -> Malformed {
    Malformed(description, says: message) { $0["TOKN"].put(offset, value) }
  }

  static let tokenizers: [Malformed] = [
    tokenizer("kind 4", 0, UInt32(4), says: "tokenizer kind 4 is not known"),
    tokenizer("splitter 99", 4, UInt32(99), says: "splitting rule 99 is not known"),
    tokenizer("no pieces", 8, UInt32(0), says: "0 pieces; 1...2097152"),
    tokenizer("2^32 - 1 pieces", 8, UInt32.max, says: "4294967295 pieces"),
    tokenizer("2^20 pieces", 8, UInt32(1) << 20, says: "1048576 pieces do not fit"),
    tokenizer("2^32 - 1 merges", 12, UInt32.max, says: "4294967295 merges do not fit"),
    tokenizer("merges beside scores", 0, UInt32(1), says: "2 merges, but the kind ranks by score"),
    tokenizer("unknown flag", 16, UInt32(2048), says: "hold a rule that is not known"),
    tokenizer("bos outside", 20, UInt32(13), says: "id 13 is not among 13 pieces"),
    tokenizer("pad outside", 32, UInt32(0xFFFF_FFFE), says: "is not among 13 pieces"),
    tokenizer("text size", 36, UInt32(3), says: "the offset of piece"),
    tokenizer("2^32 - 1 tests", 40, UInt32.max, says: "4294967295 tests; at most 1024"),
    tokenizer("one test more", 40, UInt32(3), says: "ends early"),
    tokenizer("one test less", 40, UInt32(1), says: "8 bytes are left over"),
    tokenizer("reserved", 44, UInt8(1), says: "reserved byte is not zero"),
    tokenizer("first offset", offsets, UInt32(1), says: "the offset of piece 0 is 1"),
    tokenizer(
      "offset outside", offsets + 4, UInt32.max, says: "the offset of piece 1 is 4294967295"),
    tokenizer("offset falls", offsets + 8, UInt32(0), says: "the offset of piece 2 is 0"),
    tokenizer(
      "score NaN", scores, Float.nan.bitPattern, says: "the score of piece 0 is not finite"),
    tokenizer("kind 7", kinds, UInt8(7), says: "piece 0 is of kind 7"),
    tokenizer("byte of 5 bytes", kinds, UInt8(6), says: "piece 0 stands for one byte, but has 5"),
    Malformed("byte twice", says: "piece 4 stands for byte 10 again") {
      $0["TOKN"].put(kinds + 4, UInt8(6))
      $0["TOKN"].put(text + 13, UInt8(0x0A))
    },
    tokenizer("empty piece", kinds + 10, UInt8(1), says: "piece 10 is empty"),
    tokenizer("padding of kinds", kinds + 13, UInt8(1), says: "reserved byte is not zero"),
    tokenizer("piece not UTF-8", text, UInt8(0xFF), says: "piece 0 is not UTF-8"),
    tokenizer("equal pieces", text + 14, UInt8(0x61), says: "piece 5 equals an earlier one"),
    tokenizer("merge outside", merges + 8, UInt32(13), says: "id 13 is not among 13 pieces"),
    tokenizer("merge of other text", merges + 8, UInt32(8), says: "which is not their joint text"),
    Malformed("left over", says: "4 bytes are left over") { $0["TOKN"].raw += [0, 0, 0, 0] },
    Malformed("cut", says: "ends early") { $0["TOKN"].raw.removeLast() },
  ]

  @Test(arguments: tokenizers)
  func tokenizerIsRefused(_ malformed: Malformed) throws { try fixture.refuse(malformed) }
}
