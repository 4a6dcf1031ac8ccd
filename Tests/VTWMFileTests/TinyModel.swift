import Architecture
import TensorCore
import VTWMFile

/// Models of a few kilobytes with values that any reader can compute for itself.
enum TinyModel {
  /// Every optional part is there: biases, long-context scaling, class row, two feature layers.
  static let visual = VTWMContents(
    configuration: ModelConfiguration(
      family: "llava", name: "tiny \u{1F418}",
      text: TextConfiguration(
        layerCount: 2, hiddenSize: 8, intermediateSize: 12, headCount: 2, keyValueHeadCount: 1,
        headDimension: 4, vocabularySize: 34, contextLength: 64, normEpsilon: 1e-5,
        rope: RoPEConfiguration(
          theta: 500_000,
          scaling: .llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 32)),
        hasQueryKeyValueBias: true),
      vision: VisionConfiguration(
        hiddenSize: 8, intermediateSize: 12, layerCount: 1, headCount: 2, imageSize: 4,
        patchSize: 2, activation: .quickGELU, normEpsilon: 1e-6, featureLayers: [0, 1],
        keepsClassRow: true),
      projector: ProjectorConfiguration(activation: .gelu, hasBias: true),
      imageTokenID: 12, endOfTextIDs: [2, 11]),
    imageSteps: ImageSteps(
      resize: .padSquare(size: 4, color: [122, 116, 104]), filter: .bicubic, cropSize: nil,
      rescaleFactor: 1 / 255, mean: [0.48145466, 0.4578275, 0.40821073],
      standardDeviation: [0.26862954, 0.26130258, 0.27577711]),
    tokenizer: tokenizer,
    template: PromptTemplate(
      name: "vicuna_v1", opening: "A chat. ", userStart: "USER: ", image: "<image>\n",
      userEnd: "", assistantStart: " ASSISTANT:", assistantEnd: "</s>"))

  /// What the first files could not hold: tiles, thinned ones too, a tower without class row, a rule
  /// for several images, text between images and question.
  static let tiled: VTWMContents = {
    var contents = visual
    contents.configuration.family = "llava_onevision"
    contents.configuration.vision?.kind = .siglip
    contents.configuration.vision?.activation = .geluTanh
    contents.configuration.vision?.keepsClassRow = false
    contents.configuration.vision?.tiling = Tiling(
      grids: [
        TileGrid(columns: 1, rows: 1), TileGrid(columns: 2, rows: 1),
        TileGrid(columns: 3, rows: 2),
      ], thinningLimit: 2)
    contents.imageSteps?.resize = .exact(size: 4)
    contents.imageSteps?.resizeOfSeveral = .padSquare(size: 4, color: [127, 127, 127])
    contents.template.image = "<image>"
    contents.template.questionStart = "\n"
    return contents
  }()

  /// The least that a model can have.
  static let textOnly = VTWMContents(
    configuration: ModelConfiguration(
      family: "llama", name: "",
      text: TextConfiguration(
        layerCount: 1, hiddenSize: 4, intermediateSize: 4, headCount: 1, keyValueHeadCount: 1,
        headDimension: 4, vocabularySize: 13, contextLength: 16, normEpsilon: 0.1,
        rope: RoPEConfiguration(theta: 10_000), isHeadTied: true),
      vision: nil, projector: nil, imageTokenID: nil, endOfTextIDs: []),
    imageSteps: nil, tokenizer: tokenizer,
    template: PromptTemplate(
      name: "plain", opening: "", userStart: "", image: "", userEnd: "", assistantStart: "",
      assistantEnd: ""))

  /// 13 pieces of every kind, with merges.
  static let tokenizer = TokenizerModel(
    kind: .sentencePieceMerges, flags: [.addsBOS, .prefixesSpace, .byteFallback],
    pieces: [
      piece("<unk>", .unknown), piece("<s>", .control), piece("</s>", .control),
      TokenizerModel.Piece(bytes: [0x0A], kind: .byte), piece("a"), piece("b", score: -1.5),
      piece("ab", score: -0.25), piece("\u{2581}", score: -3), piece("\u{2581}ab"),
      piece("\u{e9}"), piece("", .unused), piece("<|im_end|>", .user), piece("<image>", .control),
    ],
    merges: [
      TokenizerModel.Merge(left: 4, right: 5, result: 6),
      TokenizerModel.Merge(left: 7, right: 6, result: 8),
    ],
    bosID: 1, eosID: 2, unknownID: 0,
    tests: [
      TokenizerModel.TestVector(text: "ab", ids: [1, 8]),
      TokenizerModel.TestVector(text: "", ids: []),
    ])

  private static func piece(
    _ text: String, _ kind: TokenizerModel.PieceKind = .normal, score: Float = 0
  ) -> TokenizerModel.Piece {
    TokenizerModel.Piece(bytes: Array(text.utf8), kind: kind, score: score)
  }

  /// One matrix of every encoding of the first files in decoder layer 0.
  static let firstEncodings: [TensorKey: Encoding] = [
    TensorKey(.query, layer: 0): .q8, TensorKey(.key, layer: 0): .bf16,
    TensorKey(.value, layer: 0): .f16, TensorKey(.embedding): .q8,
  ]

  /// The same and q4.
  static let q4Encodings = firstEncodings.merging(
    [TensorKey(.attentionOutput, layer: 0): .q4]
  ) { $1 }

  /// One matrix of every encoding in decoder layer 0.
  static let encodings = q4Encodings.merging([
    TensorKey(.gate, layer: 0): .q4a, TensorKey(.up, layer: 0): .q5a,
    TensorKey(.down, layer: 0): .q6,
  ]) { $1 }

  static let sourceTypes: [TensorKey: String] = [
    TensorKey(.embedding): "F16", TensorKey(.query, layer: 0): "Q4_K",
    TensorKey(.key, layer: 0): "BF16",
  ]

  /// Withdraws at layer 1, with a second profile that freezes first.
  static let schedule = TokenSchedule(
    layerCount: 2,
    profiles: [
      ScheduleProfile(withdrawingAt: 1, of: 2),
      ScheduleProfile(
        name: "ocr",
        segments: [
          ScheduleSegment(layers: 0..<1, classes: .all),
          ScheduleSegment(layers: 1..<2, classes: .all, frozen: .visual),
        ]),
    ],
    candidates: [
      ScheduleCandidate(
        eta: 0.001, withdrawalLayer: 2, meanKL: 0, maxKL: 0, agreement: 1, sampleCount: 24),
      ScheduleCandidate(
        eta: 0.01, withdrawalLayer: 1, meanKL: 0.0078125, maxKL: 0.25, agreement: 0.984375,
        sampleCount: 24),
    ])

  static let layerKL: [Float?] = [1.5, 0.0078125]

  static let calibration: JSONValue = [
    "direction": "withdrawn||full", "seed": 1, "tasks": [["name": "ocr", "mean_kl": [0.5, 0.25]]],
  ]

  static let provenance: JSONValue = ["converter": "vtwconvert", "inputs": []]

  // MARK: Weights

  /// The value of tensor `tensor` (its place in the file) at `row`, `column`, exact in every
  /// encoding.
  static func value(
    _ tensor: Int, _ row: Int, _ column: Int, _ encoding: Encoding
  ) -> Float {
    let number = tensor * 31 + row * 13 + column * 7
    return switch encoding {
    case .q8: Float(number % 255 - 127) / 64
    case .q4: Float(number % 16 - 8) / 64
    case .q4a: Float(number % 16) / 64 - 0.5
    case .q5a: Float(number % 32) / 64 - 0.5
    case .q6: Float(number % 64 - 32) / 64
    case .f32, .f16, .bf16: Float(number % 64 - 32) / 32
    }
  }

  /// The bytes of a tensor of that place in the file, as `formats/encodings.md` lays them out.
  static func bytes(_ tensor: Int, _ layout: TileLayout) -> [UInt8] {
    let encoding = layout.encoding
    func value(_ row: Int, _ column: Int) -> Float {
      let isPadding = row >= layout.rows || column >= layout.columns
      return isPadding ? 0 : Self.value(tensor, row, column, encoding)
    }
    var writer = ByteWriter()
    for panel in stride(from: 0, to: layout.paddedRows, by: encoding.tileRows) {
      for first in stride(from: 0, to: layout.paddedColumns, by: encoding.tileColumns) {
        switch encoding {
        case .f32: writer.float(value(panel, first))
        case .f16:
          for row in panel..<panel + 32 { writer.integer(Float16(value(row, first)).bitPattern) }
        case .bf16:
          for row in panel..<panel + 32 {
            for column in first..<first + 2 {
              writer.integer(UInt16(value(row, column).bitPattern >> 16))
            }
          }
        case .q8:
          for row in panel..<panel + 32 {
            writer.integer((row < layout.rows ? Float16(1.0 / 64) : 0).bitPattern)
          }
          for quad in stride(from: first, to: first + 32, by: 4) {
            for row in panel..<panel + 32 {
              for column in quad..<quad + 4 {
                writer.integer(UInt8(Int(value(row, column) * 64) + 128))
              }
            }
          }
        case .q4:
          for row in panel..<panel + 32 {
            writer.integer((row < layout.rows ? Float16(1.0 / 64) : 0).bitPattern)
          }
          for quad in stride(from: first, to: first + 32, by: 4) {
            for row in panel..<panel + 16 {
              for column in quad..<quad + 4 {
                let low = Int(value(row, column) * 64) + 8
                let high = Int(value(row + 16, column) * 64) + 8
                writer.integer(UInt8(low + 16 * high))
              }
            }
          }
        case .q4a, .q5a, .q6:
          write(&writer, encoding, layout, row: panel, column: first) {
            tensor * 31 + $0 * 13 + $1 * 7
          }
        }
      }
    }
    return writer.bytes
  }

  /// A tile of nibbles and planes of bits, as the page lays it out.
  private static func write(
    _ writer: inout ByteWriter, _ encoding: Encoding, _ layout: TileLayout, row: Int, column: Int,
    number: (Int, Int) -> Int
  ) {
    let bits = encoding.integerBits ?? 0
    func integer(_ r: Int, _ c: Int) -> Int {
      let isPadding = row + r >= layout.rows || column + c >= layout.columns
      return isPadding
        ? (encoding.hasMinimum ? 0 : 1 << (bits - 1))
        : number(row + r, column + c) % (1 << bits)
    }
    for set in 0..<2 {
      for r in row..<row + 32 {
        let value = encoding.hasMinimum && set == 1 ? -0.5 : 1.0 / 64
        writer.integer((r < layout.rows ? Float16(value) : 0).bitPattern)
      }
    }
    for quad in stride(from: 0, to: 32, by: 4) {
      for r in 0..<16 {
        for c in quad..<quad + 4 {
          writer.integer(UInt8(integer(r, c) & 15 | (integer(r + 16, c) & 15) << 4))
        }
      }
    }
    for bit in 4..<bits {
      for quad in stride(from: 0, to: 32, by: 4) {
        for pair in stride(from: 0, to: 32, by: 2) {
          let places = [0, 1, 2, 3, 4, 5, 6, 7].map { (pair + $0 / 4, quad + $0 % 4) }
          let byte = places.enumerated().reduce(0) {
            $0 | (integer($1.element.0, $1.element.1) >> bit & 1) << $1.offset
          }
          writer.integer(UInt8(byte))
        }
      }
    }
  }

  // MARK: Files

  /// Rooms of a page, so that files stay small.
  static let room = VTWMWriter.FrontRoom(alignment: 12, planBytes: 512)

  /// Starts a file and writes all its weights.
  static func writer(
    _ contents: VTWMContents, at path: String, encodings: [TensorKey: Encoding] = [:],
    overwrite: Bool = false, inputs: [String] = []
  ) throws(InputError) -> VTWMWriter {
    let writer = try VTWMWriter(
      path: path, contents: contents, encodings: encodings, sourceTypes: sourceTypes,
      overwrite: overwrite, inputs: inputs, room: room)
    let specifications = contents.configuration.tensorGroups.flatMap { $0 }
    for (index, specification) in specifications.enumerated() {
      let extents = specification.shape.dimensions
      guard
        let layout = TileLayout(
          encodings[specification.key] ?? .f32, rows: extents[0],
          columns: extents.dropFirst().reduce(1, *))
      else { throw InputError(path, "no layout") }
      writer.begin(specification.key)
      // In two pieces, as a packer that streams would.
      let bytes = bytes(index, layout)
      try writer.append(Array(bytes[..<(bytes.count / 2)]))
      try writer.append(Array(bytes[(bytes.count / 2)...]))
      try writer.end(sourceCRC: UInt32(index))
    }
    return writer
  }

  /// Writes the visual model, or another with the same decoder, with everything that a file can hold.
  static func writeVisual(
    _ contents: VTWMContents = visual, at path: String,
    encodings: [TensorKey: Encoding] = encodings, overwrite: Bool = false
  ) throws(InputError) {
    try writer(contents, at: path, encodings: encodings, overwrite: overwrite).seal(
      schedule: schedule, layerKL: layerKL, calibration: calibration, provenance: provenance,
      keyValuePrecision: .f16)
  }

  static func writeTextOnly(at path: String) throws(InputError) {
    try writer(textOnly, at: path).seal(schedule: .full(layerCount: 1))
  }
}
