package import TensorCore

/// The number types of GGUF: how many elements make a block, its bytes, and what they mean.
///
/// Formulas and layouts are those of ggml; products are taken in f32 in the order of the `gguf`
/// package (a block's scale by a group's first, then by the element, then the offset), so values
/// are equal to its values in every bit.
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
    2: blocks("Q4_0", 32, 18, q4_0),
    3: blocks("Q4_1", 32, 20, q4_1),
    6: blocks("Q5_0", 32, 22, q5_0),
    7: blocks("Q5_1", 32, 24, q5_1),
    8: blocks("Q8_0", 32, 34, q8_0),
    10: blocks("Q2_K", 256, 84, q2_K),
    11: blocks("Q3_K", 256, 110, q3_K),
    12: blocks("Q4_K", 256, 144, q4_K),
    13: blocks("Q5_K", 256, 176, q5_K),
    14: blocks("Q6_K", 256, 210, q6_K),
    20: blocks("IQ4_NL", 32, 18, iq4_NL),
    23: blocks("IQ4_XS", 256, 136, iq4_XS),
    39: blocks("MXFP4", 32, 17, mxfp4),
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

  // Blocks of 32: element i is in the low half of byte i, element 16 + i in its high half.

  private static func q4_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<16 {
      let byte = block[2 + i]
      values[i] = d * Float((byte & 15) - 8)
      values[i + 16] = d * Float((byte >> 4) - 8)
    }
  }

  private static func q4_1(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let m = block.half(2)
    for i in 0..<16 {
      let byte = block[4 + i]
      values[i] = d * Float(byte & 15) + m
      values[i + 16] = d * Float(byte >> 4) + m
    }
  }

  /// The fifth bits of all elements are one u32.
  private static func q5_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let high = block.word(2)
    for i in 0..<16 {
      let byte = block[6 + i]
      values[i] = d * Float((byte & 15 | (high >> i & 1) << 4) - 16)
      values[i + 16] = d * Float((byte >> 4 | (high >> (i + 16) & 1) << 4) - 16)
    }
  }

  private static func q5_1(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let m = block.half(2)
    let high = block.word(4)
    for i in 0..<16 {
      let byte = block[8 + i]
      values[i] = d * Float(byte & 15 | (high >> i & 1) << 4) + m
      values[i + 16] = d * Float(byte >> 4 | (high >> (i + 16) & 1) << 4) + m
    }
  }

  private static func q8_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<32 { values[i] = d * Float(block.signed(2 + i)) }
  }

  private static func iq4_NL(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<16 {
      let byte = block[2 + i]
      values[i] = d * nonlinear[byte & 15]
      values[i + 16] = d * nonlinear[byte >> 4]
    }
  }

  private static func mxfp4(_ block: BlockBytes, _ values: BlockValues) {
    let d = halfOfPowerOfTwo(block[0])
    for i in 0..<16 {
      let byte = block[1 + i]
      values[i] = d * doubledE2M1[byte & 15]
      values[i + 16] = d * doubledE2M1[byte >> 4]
    }
  }

  // Blocks of 256: two halves of 128 or four quarters of 64, in groups with scales of their own.

  private static func q2_K(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(80)
    let dmin = block.half(82)
    for group in 0..<16 {
      let (half, part) = (group / 8, group % 8)
      let scale = d * Float(block[group] & 15)
      let minimum = dmin * Float(block[group] >> 4)
      let first = 16 + 32 * half + 16 * (part % 2)
      for i in 0..<16 {
        let q = block[first + i] >> (2 * (part / 2)) & 3
        values[16 * group + i] = scale * Float(q) - minimum
      }
    }
  }

  private static func q3_K(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(108)
    for group in 0..<16 {
      let (half, part) = (group / 8, group % 8)
      let low = group < 8 ? block[96 + group] & 15 : block[96 + group - 8] >> 4
      let high = block[96 + 8 + group % 4] >> (2 * (group / 4)) & 3
      let scale = d * Float((low | high << 4) - 32)
      let first = 16 * (part % 2)
      for i in 0..<16 {
        let q = block[32 + 32 * half + first + i] >> (2 * (part / 2)) & 3
        let isHigh = block[first + i] >> (group / 2) & 1
        values[16 * group + i] = scale * Float(q - 4 * (1 - isHigh))
      }
    }
  }

  private static func q4_K(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let dmin = block.half(2)
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(block, 4, group)
      let s = d * scale
      let m = dmin * minimum
      let first = 16 + 32 * (group / 2)
      let shift = 4 * (group % 2)
      for i in 0..<32 {
        values[32 * group + i] = s * Float(block[first + i] >> shift & 15) - m
      }
    }
  }

  private static func q5_K(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let dmin = block.half(2)
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(block, 4, group)
      let s = d * scale
      let m = dmin * minimum
      let first = 48 + 32 * (group / 2)
      let shift = 4 * (group % 2)
      for i in 0..<32 {
        let q = block[first + i] >> shift & 15 | (block[16 + i] >> group & 1) << 4
        values[32 * group + i] = s * Float(q) - m
      }
    }
  }

  private static func q6_K(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(208)
    for group in 0..<16 {
      let (half, part) = (group / 8, group % 8)
      let scale = d * Float(block.signed(192 + group))
      // Four rows of 32 within the half: low bits of rows 0 and 2 share bytes, as do 1 and 3.
      let row = part / 2
      let first = 16 * (part % 2)
      for i in 0..<16 {
        let low = block[64 * half + 32 * (row % 2) + first + i] >> (4 * (row / 2)) & 15
        let high = block[128 + 32 * half + first + i] >> (2 * row) & 3
        values[16 * group + i] = scale * Float((low | high << 4) - 32)
      }
    }
  }

  private static func iq4_XS(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let high = block[2] | block[3] << 8
    for group in 0..<8 {
      let low = block[4 + group / 2] >> (4 * (group % 2)) & 15
      let scale = d * Float((low | (high >> (2 * group) & 3) << 4) - 32)
      for i in 0..<16 {
        let byte = block[8 + 16 * group + i]
        values[32 * group + i] = scale * nonlinear[byte & 15]
        values[32 * group + i + 16] = scale * nonlinear[byte >> 4]
      }
    }
  }

  /// Scale and minimum of a group of 32, packed in 12 bytes at `start`: 6 bits each.
  private static func scaleAndMinimum(
    _ block: BlockBytes, _ start: Int, _ group: Int
  ) -> (Float, Float) {
    if group < 4 {
      return (Float(block[start + group] & 63), Float(block[start + group + 4] & 63))
    }
    let low = block[start + group + 4]
    return (
      Float(low & 15 | (block[start + group - 4] >> 6) << 4),
      Float(low >> 4 | (block[start + group] >> 6) << 4)
    )
  }

  /// 2^(exponent - 128); NaN for 255, which is no number in this format.
  private static func halfOfPowerOfTwo(_ exponent: Int) -> Float {
    switch exponent {
    case 255: .nan
    case 0, 1: Float(bitPattern: 0x20_0000 << UInt32(exponent))
    default: Float(bitPattern: UInt32(exponent - 1) << 23)
    }
  }

  /// Levels of the non-linear 4-bit types.
  private static let nonlinear: InlineArray<16, Float> = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
  ]
  /// Twice the values of E2M1; the sign bit comes first.
  private static let doubledE2M1: InlineArray<16, Float> = [
    0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
  ]
}

/// The bytes of one block, at any alignment.
///
/// Offsets are not checked: each decoder uses those of its own block, and `SourceTensor` has made
/// sure that the block is there.
@safe struct BlockBytes {
  private let base: UnsafeRawPointer

  @unsafe init(_ base: UnsafeRawPointer) { unsafe self.base = base }

  subscript(_ offset: Int) -> Int {
    unsafe Int(base.load(fromByteOffset: offset, as: UInt8.self))
  }

  func signed(_ offset: Int) -> Int {
    unsafe Int(base.load(fromByteOffset: offset, as: Int8.self))
  }

  func half(_ offset: Int) -> Float {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    return Float(Float16(bitPattern: UInt16(littleEndian: bits)))
  }

  func word(_ offset: Int) -> Int {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    return Int(UInt32(littleEndian: bits))
  }

  func double(_ offset: Int) -> Double {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    return Double(bitPattern: UInt64(littleEndian: bits))
  }
}

/// Where the values of one block go; places are not checked, as for `BlockBytes`.
@safe struct BlockValues {
  private let base: UnsafeMutablePointer<Float>

  @unsafe init(_ base: UnsafeMutablePointer<Float>) { unsafe self.base = base }

  subscript(_ place: Int) -> Float {
    get { unsafe base[place] }
    nonmutating set { unsafe base[place] = newValue }
  }
}
