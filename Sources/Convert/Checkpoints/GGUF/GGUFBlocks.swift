package import TensorCore

/// The number types of GGUF by their numbers: how many elements make a block, and its bytes.
package enum GGUFBlocks {
  /// A type by its number, or why there is none.
  package enum Entry: Sendable {
    case format(BlockFormat)
    /// A number that an earlier version used.
    case removed
    case unknown
  }

  package static func entry(_ number: UInt32) -> Entry {
    if removed.contains(number) { return .removed }
    return formats[number].map { .format($0) } ?? .unknown
  }

  /// Names of the types that can be read, in the order of their numbers.
  package static let readableNames = formats.sorted { $0.key < $1.key }
    .filter { $0.value.isReadable }.map(\.value.name)

  private static let removed: Set<UInt32> = [4, 5, 31, 32, 33, 36, 37, 38]

  private static let formats: [UInt32: BlockFormat] = [
    0: .f32,
    1: .f16,
    30: .bf16,
    28: blocks("F64", 1, 8) { block, values in values[0] = Float(block.double(0)) },
    2: blocks("Q4_0", 32, 18, as: .q4, q4_0, q4_0),
    3: blocks("Q4_1", 32, 20, as: .q4a, q4_1, q4_1),
    6: blocks("Q5_0", 32, 22, as: .q5a, q5_0, q5_0),
    7: blocks("Q5_1", 32, 24, as: .q5a, q5_1, q5_1),
    8: blocks("Q8_0", 32, 34, as: .q8, q8_0, q8_0),
    10: blocks("Q2_K", 256, 84, q2_K),
    11: blocks("Q3_K", 256, 110, as: .q6, q3_K, q3_K),
    12: blocks("Q4_K", 256, 144, as: .q4a, q4_K, q4_K),
    13: blocks("Q5_K", 256, 176, as: .q5a, q5_K, q5_K),
    14: blocks("Q6_K", 256, 210, as: .q6, q6_K, q6_K),
    20: blocks("IQ4_NL", 32, 18, as: .q8, iq4_NL, iq4_NL),
    23: blocks("IQ4_XS", 256, 136, as: .q8, iq4_XS, iq4_XS),
    39: blocks("MXFP4", 32, 17, as: .q8, mxfp4, mxfp4),
    // Never weights that we need, or of tables that we do not have.
    9: BlockFormat("Q8_1", elements: 32, bytes: 36),
    15: BlockFormat("Q8_K", elements: 256, bytes: 292),
    16: BlockFormat("IQ2_XXS", elements: 256, bytes: 66),
    17: BlockFormat("IQ2_XS", elements: 256, bytes: 74),
    18: BlockFormat("IQ3_XXS", elements: 256, bytes: 98),
    19: BlockFormat("IQ1_S", elements: 256, bytes: 50),
    21: BlockFormat("IQ3_S", elements: 256, bytes: 110),
    22: BlockFormat("IQ2_S", elements: 256, bytes: 82),
    24: BlockFormat("I8", bytes: 1),
    25: BlockFormat("I16", bytes: 2),
    26: BlockFormat("I32", bytes: 4),
    27: BlockFormat("I64", bytes: 8),
    29: BlockFormat("IQ1_M", elements: 256, bytes: 56),
    34: BlockFormat("TQ1_0", elements: 256, bytes: 54),
    35: BlockFormat("TQ2_0", elements: 256, bytes: 66),
    40: BlockFormat("NVFP4", elements: 64, bytes: 36),
    41: BlockFormat("Q1_0", elements: 128, bytes: 18),
    42: BlockFormat("Q2_0", elements: 64, bytes: 18),
  ]

  private static func blocks(
    _ name: String, _ elements: Int, _ bytes: Int,
    _ decode: @escaping @Sendable (BlockBytes, BlockValues) -> Void
  ) -> BlockFormat {
    unsafe BlockFormat(name, elements: elements, bytes: bytes) { values, blocks, count in
      for place in 0..<count {
        unsafe decode(
          BlockBytes(blocks + place * bytes), BlockValues(values + place * elements))
      }
    }
  }

  private static func blocks(
    _ name: String, _ elements: Int, _ bytes: Int, as encoding: Encoding,
    _ decode: @escaping @Sendable (BlockBytes, BlockValues) -> Void,
    _ integers: @escaping @Sendable (BlockBytes, BlockParts) -> Void
  ) -> BlockFormat {
    let plain = blocks(name, elements, bytes, decode)
    guard let decode = unsafe plain.decode else { return plain }
    let groups = elements / encoding.scaleColumns
    let parts = unsafe BlockIntegers(encoding) { quants, scales, minima, blocks, count in
      for place in 0..<count {
        unsafe integers(
          BlockBytes(blocks + place * bytes),
          BlockParts(
            integers: quants + place * elements, scales: scales + place * groups,
            minima: minima + place * groups))
      }
    }
    return unsafe BlockFormat(
      name, elements: elements, bytes: bytes, integers: parts, decode: decode)
  }
}
