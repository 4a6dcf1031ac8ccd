import Checkpoints
import Kernels
import Packing
import TensorCore
import TestSupport
import Testing
import VTWMFile

/// What becomes of quantised sources that keep their precision.
@Suite struct SourcePrecisionTests {
  /// The largest relative root mean square of the error: what an f16 scale may round, and for Q2_K,
  /// whose groups of 16 have minima, what 8 bits leave.
  static let bounds: [(type: String, encoding: Encoding, error: Double)] = [
    ("Q4_0", .q4, 0), ("Q4_1", .q4a, 0), ("Q5_0", .q5a, 0), ("Q5_1", .q5a, 0), ("Q8_0", .q8, 0),
    ("IQ4_NL", .q8, 0), ("MXFP4", .q8, 0), ("IQ4_XS", .q8, 3e-4), ("Q3_K", .q6, 3e-4),
    ("Q4_K", .q4a, 5e-4), ("Q5_K", .q5a, 5e-4), ("Q6_K", .q6, 3e-4), ("Q2_K", .q8, 6e-3),
  ]

  private func pack(_ tensor: SourceTensor, _ encoding: Encoding) throws -> [Float] {
    var bytes: [UInt8]
    if let integers = tensor.readIntegers(0..<tensor.rowCount) {
      #expect(integers.encoding == encoding)
      bytes = try TilePacker.pack(integers).bytes
    } else {
      bytes = try TilePacker.pack(
        tensor.values(), columns: tensor.columnCount, encoding: encoding
      ).bytes
    }
    let view = try #require(
      TensorView(
        ByteRegion(copying: bytes), offset: 0, shape: tensor.shape, encoding: encoding))
    return TilePacker.unpack(view, rows: 0..<tensor.rowCount)
  }

  /// Blocks as llama.cpp quantises weights with heavy tails.
  @Test(arguments: bounds)
  func realBlocksKeepTheirPrecision(type: String, encoding: Encoding, bound: Double) throws {
    let file = try GGUFFile(mapping: fixturePath("gguf/quantised.gguf"))
    let tensor = try #require(file.tensors.first { $0.name == type })
    #expect(tensor.format.name == type)
    let want = tensor.values(), found = try pack(tensor, encoding)
    var error = 0.0, power = 0.0
    for (a, b) in zip(found, want) {
      error += Double(a - b) * Double(a - b)
      power += Double(b) * Double(b)
    }
    let relative = (error / power).squareRoot()
    #expect(relative <= bound, "\(type) as \(encoding.name): \(relative)")
    #expect(power > 0 && (bound == 0 || relative > 0))
  }

  @Test func everyReadableBlockTypeHasABound() throws {
    let plain: Set = ["F32", "F16", "BF16", "F64"]
    #expect(Set(GGUFBlocks.readableNames).subtracting(plain) == Set(Self.bounds.map(\.type)))
  }

  /// Blocks of random bytes: what integers and scales stand for is what the values are.
  @Test(arguments: bounds.map(\.type))
  func integersAreTheValues(type: String) throws {
    for path in ["gguf/types/\(type).gguf", "gguf/quantised.gguf"] {
      let file = try GGUFFile(mapping: fixturePath(path))
      let tensor = try #require(file.tensors.first { $0.format.name == type })
      let values = tensor.values()
      guard let integers = tensor.readIntegers(0..<tensor.rowCount) else {
        #expect(type == "Q2_K")
        continue
      }
      for index in values.indices where integers.value(at: index) != values[index] {
        Issue.record("\(type): \(index) is \(integers.value(at: index)), not \(values[index])")
        break
      }
    }
  }

  /// Rows of heads whose halves are interleaved come in order.
  @Test func integersOfHeadsComeInOrder() throws {
    let file = try GGUFFile(mapping: fixturePath("gguf/quantised.gguf"))
    let whole = try #require(file.tensors.first { $0.name == "Q4_K" })
    let tensor = try #require(
      SourceTensor(
        name: "x", region: whole.region,
        range: whole.range.lowerBound..<whole.range.lowerBound + 32 * 288, format: whole.format,
        shape: [32, 512], interleavedHeadSize: 8))
    let integers = try #require(tensor.readIntegers(3..<31))
    var values: [Float] = []
    tensor.readRows(3..<31, into: &values)
    #expect(values.indices.allSatisfy { integers.value(at: $0) == values[$0] })
  }

  /// Llama 2 7B's matrices in llama.cpp's mix Q4_K_M: half of attn_v and ffn_down, and the head, in
  /// Q6_K, the rest in Q4_K.
  @Test func aFileIsLittleLargerThanItsSource() throws {
    let width = 4096, feedForward = 11008, vocabulary = 32000, layers = 32
    var source = 0, packed = 0
    func add(_ type: String, rows: Int, columns: Int, count: Int) throws {
      let format = try #require(
        [UInt32(12), 14].lazy.compactMap { number -> BlockFormat? in
          guard case .format(let format) = GGUFBlocks.entry(number), format.name == type else {
            return nil
          }
          return format
        }.first)
      let encoding = try #require(format.integers?.encoding)
      let layout = try #require(TileLayout(encoding, rows: rows, columns: columns))
      source += count * (try #require(format.byteCount(of: [rows, columns])))
      packed += count * layout.byteCount
    }
    try add("Q4_K", rows: vocabulary, columns: width, count: 1)
    try add("Q6_K", rows: vocabulary, columns: width, count: 1)
    try add("Q4_K", rows: width, columns: width, count: 3 * layers)
    try add("Q4_K", rows: feedForward, columns: width, count: 2 * layers)
    for type in ["Q4_K", "Q6_K"] {
      try add(type, rows: width, columns: width, count: layers / 2)
      try add(type, rows: width, columns: feedForward, count: layers / 2)
    }
    #expect(abs(source - 4_079_000_000) < 5_000_000)
    #expect(Double(packed) <= 1.15 * Double(source), "\(packed) from \(source)")
  }
}
