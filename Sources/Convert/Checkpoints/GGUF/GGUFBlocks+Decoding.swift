/// What the bytes of a block mean, type by type.
///
/// Formulas and layouts are those of ggml; products are taken in f32 in the order of the `gguf`
/// package (a block's scale by a group's first, then by the element, then the offset), so values
/// are equal to its values in every bit.
extension GGUFBlocks {
  // Blocks of 32: element i is in the low half of byte i, element 16 + i in its high half.

  static func q4_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<16 {
      let byte = block[2 + i]
      values[i] = d * Float((byte & 15) - 8)
      values[i + 16] = d * Float((byte >> 4) - 8)
    }
  }

  static func q4_1(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let m = block.half(2)
    for i in 0..<16 {
      let byte = block[4 + i]
      values[i] = d * Float(byte & 15) + m
      values[i + 16] = d * Float(byte >> 4) + m
    }
  }

  /// The fifth bits of all elements are one u32.
  static func q5_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let high = block.word(2)
    for i in 0..<16 {
      let byte = block[6 + i]
      values[i] = d * Float((byte & 15 | (high >> i & 1) << 4) - 16)
      values[i + 16] = d * Float((byte >> 4 | (high >> (i + 16) & 1) << 4) - 16)
    }
  }

  static func q5_1(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    let m = block.half(2)
    let high = block.word(4)
    for i in 0..<16 {
      let byte = block[8 + i]
      values[i] = d * Float(byte & 15 | (high >> i & 1) << 4) + m
      values[i + 16] = d * Float(byte >> 4 | (high >> (i + 16) & 1) << 4) + m
    }
  }

  static func q8_0(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<32 { values[i] = d * Float(block.signed(2 + i)) }
  }

  static func iq4_NL(_ block: BlockBytes, _ values: BlockValues) {
    let d = block.half(0)
    for i in 0..<16 {
      let byte = block[2 + i]
      values[i] = d * nonlinear[byte & 15]
      values[i + 16] = d * nonlinear[byte >> 4]
    }
  }

  static func mxfp4(_ block: BlockBytes, _ values: BlockValues) {
    let d = halfOfPowerOfTwo(block[0])
    for i in 0..<16 {
      let byte = block[1 + i]
      values[i] = d * doubledE2M1[byte & 15]
      values[i + 16] = d * doubledE2M1[byte >> 4]
    }
  }

  // Blocks of 256: two halves of 128 or four quarters of 64, in groups with scales of their own.

  static func q2_K(_ block: BlockBytes, _ values: BlockValues) {
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

  static func q3_K(_ block: BlockBytes, _ values: BlockValues) {
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

  static func q4_K(_ block: BlockBytes, _ values: BlockValues) {
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

  static func q5_K(_ block: BlockBytes, _ values: BlockValues) {
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

  static func q6_K(_ block: BlockBytes, _ values: BlockValues) {
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

  static func iq4_XS(_ block: BlockBytes, _ values: BlockValues) {
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
  static func scaleAndMinimum(
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
  static func halfOfPowerOfTwo(_ exponent: Int) -> Float {
    switch exponent {
    case 255: .nan
    case 0, 1: Float(bitPattern: 0x20_0000 << UInt32(exponent))
    default: Float(bitPattern: UInt32(exponent - 1) << 23)
    }
  }

  /// Levels of the non-linear 4-bit types.
  static let nonlinear: InlineArray<16, Float> = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
  ]
  /// Twice the values of E2M1; the sign bit comes first.
  static let doubledE2M1: InlineArray<16, Float> = [
    0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
  ]
}
