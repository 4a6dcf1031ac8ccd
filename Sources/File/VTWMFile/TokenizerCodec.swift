import Architecture
import TensorCore

/// Section TOKN: vocabulary, merges and test vectors, as a table.
enum TokenizerCodec {
  private static let knownFlags: TokenizerModel.Flags = [
    .addsBOS, .addsEOS, .prefixesSpace, .byteFallback, .removesExtraSpaces,
    .prefixesFirstSpaceOnly, .ignoresMerges, .normalizesNFC, .stripsLeftOfSpecial,
    .stripsRightOfSpecial, .keepsLeadingSpace,
  ]

  static func encode(_ tokenizer: TokenizerModel) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(tokenizer.kind.rawValue)
    writer.integer(tokenizer.splitter.rawValue)
    writer.integer(UInt32(orMax: tokenizer.pieces.count))
    writer.integer(UInt32(orMax: tokenizer.merges.count))
    writer.integer(tokenizer.flags.rawValue)
    for id in [tokenizer.bosID, tokenizer.eosID, tokenizer.unknownID, tokenizer.padID] {
      writer.integer(id.map { min(UInt32(orMax: $0), VTWMLayout.noID - 1) } ?? VTWMLayout.noID)
    }
    let textSize = tokenizer.pieces.reduce(0) { $0 + $1.bytes.count }
    writer.integer(UInt32(orMax: textSize))
    writer.integer(UInt32(orMax: tokenizer.tests.count))
    writer.zeros(20)

    var offset = 0
    writer.integer(UInt32(0))
    for piece in tokenizer.pieces {
      offset += piece.bytes.count
      writer.integer(UInt32(orMax: offset))
    }
    for piece in tokenizer.pieces { writer.float(piece.score) }
    for piece in tokenizer.pieces { writer.integer(piece.kind.rawValue) }
    writer.align(to: 4)
    for merge in tokenizer.merges {
      for id in [merge.left, merge.right, merge.result] { writer.integer(UInt32(orMax: id)) }
    }
    for piece in tokenizer.pieces { writer.append(piece.bytes) }
    writer.align(to: 4)
    for test in tokenizer.tests {
      writer.integer(UInt32(orMax: test.text.utf8.count))
      writer.integer(UInt32(orMax: test.ids.count))
      writer.append(test.text.utf8)
      writer.align(to: 4)
      for id in test.ids { writer.integer(UInt32(orMax: id)) }
    }
    return writer.bytes
  }

  /// Reads the table; no count is used before it was compared with the bytes there are.
  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, file: String
  ) throws(InputError) -> TokenizerModel {
    var decoder = Decoder(reader: ByteReader(bytes, file: file, what: "section TOKN"))
    let tokenizer = try decoder.tokenizer()
    let vocabulary = configuration.text.vocabularySize
    let count = tokenizer.pieces.count
    // The image placeholder is the one id that needs no row in the embedding.
    guard
      count <= vocabulary || (count == vocabulary + 1 && configuration.imageTokenID == vocabulary)
    else {
      throw InputError(
        file, "section TOKN: \(count) pieces, but section MODL has a vocabulary of \(vocabulary)")
    }
    return tokenizer
  }

  private struct Decoder {
    var reader: ByteReader

    mutating func tokenizer() throws(InputError) -> TokenizerModel {
      let kindCode = try reader.integer(UInt32.self)
      guard let kind = TokenizerModel.Kind(rawValue: kindCode) else {
        throw reader.error("tokenizer kind \(kindCode) is not known")
      }
      let splitterCode = try reader.integer(UInt32.self)
      guard let splitter = TokenizerModel.Splitter(rawValue: splitterCode) else {
        throw reader.error("splitting rule \(splitterCode) is not known")
      }
      let pieceCount = Int(try reader.integer(UInt32.self))
      let mergeCount = Int(try reader.integer(UInt32.self))
      let flags = TokenizerModel.Flags(rawValue: try reader.integer())
      guard knownFlags.isSuperset(of: flags) else {
        throw reader.error("flags \(flags.rawValue) hold a rule that is not known")
      }
      guard pieceCount >= 1, pieceCount <= VTWMLimits.vocabulary else {
        throw reader.error("\(pieceCount) pieces; 1...\(VTWMLimits.vocabulary) expected")
      }
      guard mergeCount == 0 || kind != .sentencePieceScores else {
        throw reader.error("\(mergeCount) merges, but the kind ranks by score")
      }
      let bos = try optionalID(below: pieceCount)
      let eos = try optionalID(below: pieceCount)
      let unknown = try optionalID(below: pieceCount)
      let pad = try optionalID(below: pieceCount)
      let textSize = Int(try reader.integer(UInt32.self))
      let testCount = Int(try reader.integer(UInt32.self))
      guard testCount <= VTWMLimits.tokenizerTests else {
        throw reader.error("\(testCount) tests; at most \(VTWMLimits.tokenizerTests) expected")
      }
      try reader.reserved(20)
      try need(pieceCount, of: 9, "pieces")

      let offsets = try offsets(count: pieceCount + 1, last: textSize)
      var scores: [Float] = []
      scores.reserveCapacity(pieceCount)
      for id in 0..<pieceCount {
        let score = try reader.float()
        guard score.isFinite else { throw reader.error("the score of piece \(id) is not finite") }
        scores.append(score)
      }
      let kinds = Array(try reader.take(pieceCount))
      try align()
      try need(mergeCount, of: 12, "merges")
      var merges: [TokenizerModel.Merge] = []
      merges.reserveCapacity(mergeCount)
      for _ in 0..<mergeCount {
        merges.append(
          TokenizerModel.Merge(
            left: try id(below: pieceCount), right: try id(below: pieceCount),
            result: try id(below: pieceCount)))
      }
      let text = try reader.take(textSize)
      let pieces = try pieces(text, offsets: offsets, kinds: kinds, scores: scores, in: kind)
      try align()
      try check(merges, pieces)
      let tests = try tests(count: testCount, pieceCount: pieceCount)
      guard reader.remaining == 0 else {
        throw reader.error("\(reader.remaining) bytes are left over")
      }
      return TokenizerModel(
        kind: kind, splitter: splitter, flags: flags, pieces: pieces, merges: merges, bosID: bos,
        eosID: eos, unknownID: unknown, padID: pad, tests: tests)
    }

    private func need(_ count: Int, of size: Int, _ what: String) throws(InputError) {
      guard count <= reader.remaining / size else {
        throw reader.error("\(count) \(what) do not fit the \(reader.remaining) bytes left")
      }
    }

    private mutating func id(below count: Int) throws(InputError) -> Int {
      let id = Int(try reader.integer(UInt32.self))
      guard id < count else { throw reader.error("id \(id) is not among \(count) pieces") }
      return id
    }

    private mutating func optionalID(below count: Int) throws(InputError) -> Int? {
      let id = try reader.integer(UInt32.self)
      guard id != VTWMLayout.noID else { return nil }
      guard id < count else { throw reader.error("id \(id) is not among \(count) pieces") }
      return Int(id)
    }

    /// Skips zeros up to a multiple of 4.
    private mutating func align() throws(InputError) {
      try reader.reserved((4 - reader.offset % 4) % 4)
    }

    private mutating func offsets(count: Int, last: Int) throws(InputError) -> [Int] {
      var offsets: [Int] = []
      offsets.reserveCapacity(count)
      for _ in 0..<count {
        let offset = Int(try reader.integer(UInt32.self))
        let previous = offsets.last ?? 0
        guard offset >= previous, offset - previous <= VTWMLimits.pieceSize, offset <= last,
          !offsets.isEmpty || offset == 0
        else {
          throw reader.error(
            "the offset of piece \(offsets.count) is \(offset); \(previous)..."
              + "\(min(last, previous + VTWMLimits.pieceSize)) expected")
        }
        offsets.append(offset)
      }
      guard offsets.last == last else {
        throw reader.error("the pieces end at \(offsets.last ?? 0), but have \(last) bytes")
      }
      return offsets
    }

    private func pieces(
      _ text: ArraySlice<UInt8>, offsets: [Int], kinds: [UInt8], scores: [Float],
      in tokenizer: TokenizerModel.Kind
    ) throws(InputError) -> [TokenizerModel.Piece] {
      var pieces: [TokenizerModel.Piece] = []
      pieces.reserveCapacity(kinds.count)
      var seen: Set<[UInt8]> = []
      seen.reserveCapacity(kinds.count)
      var seenBytes: Set<UInt8> = []
      for (id, code) in kinds.enumerated() {
        guard let kind = TokenizerModel.PieceKind(rawValue: code) else {
          throw reader.error("piece \(id) is of kind \(code), which is not known")
        }
        let start = text.startIndex
        let bytes = Array(text[start + offsets[id]..<start + offsets[id + 1]])
        switch kind {
        case .byte:
          guard bytes.count == 1 else {
            throw reader.error("piece \(id) stands for one byte, but has \(bytes.count)")
          }
          guard seenBytes.insert(bytes[0]).inserted else {
            throw reader.error("piece \(id) stands for byte \(bytes[0]) again")
          }
        case .unused: break
        case .normal, .unknown, .control, .user:
          guard !bytes.isEmpty else { throw reader.error("piece \(id) is empty") }
          guard seen.insert(bytes).inserted else {
            throw reader.error("piece \(id) equals an earlier one")
          }
          guard tokenizer == .byteLevel || String(validating: bytes, as: UTF8.self) != nil else {
            throw reader.error("piece \(id) is not UTF-8")
          }
        }
        pieces.append(TokenizerModel.Piece(bytes: bytes, kind: kind, score: scores[id]))
      }
      return pieces
    }

    private func check(
      _ merges: [TokenizerModel.Merge], _ pieces: [TokenizerModel.Piece]
    ) throws(InputError) {
      for (rank, merge) in merges.enumerated() {
        guard
          pieces[merge.result].bytes == pieces[merge.left].bytes + pieces[merge.right].bytes
        else {
          throw reader.error(
            "merge \(rank) makes piece \(merge.result) of \(merge.left) and \(merge.right),"
              + " which is not their joint text")
        }
      }
    }

    private mutating func tests(
      count: Int, pieceCount: Int
    ) throws(InputError) -> [TokenizerModel.TestVector] {
      var tests: [TokenizerModel.TestVector] = []
      for _ in 0..<count {
        let size = Int(try reader.integer(UInt32.self))
        let idCount = Int(try reader.integer(UInt32.self))
        let text = try reader.string(size)
        try align()
        try need(idCount, of: 4, "ids")
        var ids: [Int] = []
        ids.reserveCapacity(idCount)
        for _ in 0..<idCount { ids.append(try id(below: pieceCount)) }
        tests.append(TokenizerModel.TestVector(text: text, ids: ids))
      }
      return tests
    }
  }
}
