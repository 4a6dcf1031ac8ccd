import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct TokenizerSentencePieceTests {
  /// A model written field by field, as the message `ModelProto`.
  private struct Model {
    var pieces: [(text: String, score: Float, type: Int)] = [
      ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("<0x0A>", 0, 6), ("\u{2581}a", -1, 1),
      ("a", -2, 1), ("\u{2581}", -3, 1),
    ]
    var trainer = field(3, 2) + field(35, 1)
    var normalizer = field(1, Array("identity".utf8)) + field(4, 0)

    var bytes: [UInt8] {
      var bytes: [UInt8] = []
      for piece in pieces {
        var writer = ByteWriter()
        writer.append(varint(2 << 3 | 5))
        writer.float(piece.score)
        bytes += field(1, field(1, Array(piece.text.utf8)) + writer.bytes + field(3, piece.type))
      }
      return bytes + field(2, trainer) + field(3, normalizer)
    }
  }

  private static func varint(_ value: Int) -> [UInt8] {
    var rest = UInt64(bitPattern: Int64(value))
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  private static func field(_ number: Int, _ value: Int) -> [UInt8] {
    varint(number << 3) + varint(value)
  }

  private static func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(content.count) + content
  }

  private func read(_ bytes: [UInt8], _ files: [String: String] = [:]) throws -> TokenizerModel {
    let folder = try TemporaryFolder()
    try folder.write(bytes, to: "tokenizer.model")
    for (name, text) in files { try folder.write(text, to: name) }
    do throws(InputError) {
      return try TokenizerFiles.read(folder: folder.path).0
    } catch {
      #expect(error.file.hasPrefix(folder.path))
      throw InputError("", error.problem)
    }
  }

  @Test func readsPiecesAndRules() throws {
    let model = try read(Model().bytes)
    #expect(model.kind == .sentencePieceScores)
    #expect(model.flags == [.addsBOS, .prefixesSpace, .byteFallback])
    #expect(
      model.pieces.map(\.kind)
        == [.unknown, .control, .control, .byte, .normal, .normal, .normal])
    #expect(model.pieces[3].bytes == [0x0A])
    #expect(model.pieces.map(\.score) == [0, 0, 0, 0, -1, -2, -3])
    #expect([model.unknownID, model.bosID, model.eosID, model.padID] == [0, 1, 2, nil])
  }

  @Test func readsWhatTheOtherFilesSay() throws {
    let model = try read(
      Model().bytes,
      [
        "tokenizer_config.json": """
        {"add_bos_token": false, "add_eos_token": true, "legacy": false, "eos_token": "a",
         "pad_token": "<p>", "added_tokens_decoder": {"2": {"content": "</s>", "special": true},
           "8": {"content": "<u>", "special": false}}}
        """,
        "added_tokens.json": #"{"<p>": 7}"#,
      ])
    #expect(
      model.flags == [.addsEOS, .prefixesFirstSpaceOnly, .keepsLeadingSpace, .byteFallback])
    #expect(model.pieces[7...].map(\.kind) == [.control, .user])
    #expect([model.eosID, model.padID] == [5, 7])
  }

  @Test func idsMayBeAbsent() throws {
    var model = Model()
    model.trainer += Self.field(41, -1) + Self.field(43, 6)
    let read = try read(model.bytes)
    #expect(read.bosID == nil)
    #expect(read.padID == 6)
  }

  @Test func otherModelsAreRefusedByName() {
    func expectError(_ problem: String, _ change: (inout Model) -> Void) {
      var model = Model()
      change(&model)
      #expect(throws: InputError("", problem)) { try read(model.bytes) }
    }
    expectError("the SentencePiece model is of type unigram; only BPE is supported") {
      $0.trainer = Self.field(3, 1)
    }
    expectError("the SentencePiece model is of type unigram; only BPE is supported") {
      $0.trainer = []
    }
    expectError("normalisation 'nmt_nfkc' is not supported, only identity") {
      $0.normalizer = Self.field(1, Array("nmt_nfkc".utf8)) + Self.field(2, [1, 2, 3])
    }
    expectError("spaces are not written as U+2581 before words, which is not supported") {
      $0.trainer += Self.field(24, 1)
    }
    expectError(
      "piece 4 'x' is user-defined, which is not supported; save the tokenizer as tokenizer.json"
    ) { $0.pieces[4] = ("x", 0, 4) }
    expectError("piece 4 has unknown type 9") { $0.pieces[4].type = 9 }
    expectError("piece 3 is a byte, but its text is '<0xZZ>'") { $0.pieces[3].text = "<0xZZ>" }
    expectError("piece 4 is empty or not UTF-8") { $0.pieces[4].text = "" }
    expectError("the score of piece 5 is not finite") { $0.pieces[5].score = .infinity }
    expectError("the EOS id 70 lies outside the 7 pieces") { $0.trainer += Self.field(42, 70) }
    expectError("not a SentencePiece model: it has no pieces") { $0.pieces = [] }
    let piece = Self.field(1, Self.field(1, Array("a".utf8)))
    #expect(throws: InputError("", "has more than 524288 pieces")) {
      try read(Array(repeatElement(piece, count: 524_289).joined()))
    }
  }

  @Test func addedTokensMustGoOnBehindThePieces() {
    #expect(
      throws: InputError(
        "", "added token '<p>' has id 9, but the vocabulary goes on with 7")
    ) { try read(Model().bytes, ["added_tokens.json": #"{"<p>": 9}"#]) }
  }

  @Test func brokenFilesNeverTrap() throws {
    let bytes = Model().bytes
    for count in 1..<bytes.count {
      // Cut between two fields, it is a shorter model; elsewhere, an error.
      _ = try? read(Array(bytes[..<count]))
    }
    #expect(throws: InputError.self) { try read(Array(bytes[..<(bytes.count - 1)])) }
    var random = SplitMix64(seed: 8)
    for _ in 0..<300 {
      let changed = corrupting(
        bytes, at: random.next(below: bytes.count), with: [UInt8(random.next(below: 256))])
      _ = try? read(changed)
    }
    let long = [UInt8](repeating: 0xFF, count: 12)
    #expect(
      throws: InputError(
        "", "not a SentencePiece model: a number has more than 64 bits (at byte 10)")
    ) { try read(long) }
  }
}
