/// What the values of a block are made of, type by type: value = scale x (integer - zero), where zero
/// is half the range of the encoding's integers, or scale x integer + minimum.
///
/// `GGUFBlocks+Decoding.swift` has the layouts.  Both give the same values, bit for bit.
extension GGUFBlocks {
  static func q4_0(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    nibbles(block, 2, parts)
  }

  static func q4_1(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    parts.minima[0] = block.half(2)
    nibbles(block, 4, parts)
  }

  private static func nibbles(_ block: BlockBytes, _ first: Int, _ parts: BlockParts) {
    for i in 0..<16 {
      let byte = block[first + i]
      parts.integers[i] = UInt8(byte & 15)
      parts.integers[i + 16] = UInt8(byte >> 4)
    }
  }

  static func q5_0(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    parts.minima[0] = -16 * block.half(0)
    fiveBits(block, 2, parts)
  }

  static func q5_1(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    parts.minima[0] = block.half(2)
    fiveBits(block, 4, parts)
  }

  /// Fifth bits at `first`, then the others.
  private static func fiveBits(_ block: BlockBytes, _ first: Int, _ parts: BlockParts) {
    let high = block.word(first)
    for i in 0..<16 {
      let byte = block[first + 4 + i]
      parts.integers[i] = UInt8(byte & 15 | (high >> i & 1) << 4)
      parts.integers[i + 16] = UInt8(byte >> 4 | (high >> (i + 16) & 1) << 4)
    }
  }

  static func q8_0(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    for i in 0..<32 { parts.integers[i] = UInt8(block.signed(2 + i) + 128) }
  }

  static func iq4_NL(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = block.half(0)
    levels(block, 2, nonlinear, parts, 0)
  }

  static func mxfp4(_ block: BlockBytes, _ parts: BlockParts) {
    parts.scales[0] = halfOfPowerOfTwo(block[0])
    levels(block, 1, doubledE2M1, parts, 0)
  }

  static func iq4_XS(_ block: BlockBytes, _ parts: BlockParts) {
    let d = block.half(0)
    let high = block[2] | block[3] << 8
    for group in 0..<8 {
      let low = block[4 + group / 2] >> (4 * (group % 2)) & 15
      parts.scales[group] = d * Float((low | (high >> (2 * group) & 3) << 4) - 32)
      levels(block, 8 + 16 * group, nonlinear, parts, 32 * group)
    }
  }

  /// 32 elements from `place` on that name levels, which are whole numbers.
  private static func levels(
    _ block: BlockBytes, _ first: Int, _ levels: InlineArray<16, Float>, _ parts: BlockParts,
    _ place: Int
  ) {
    for i in 0..<16 {
      let byte = block[first + i]
      parts.integers[place + i] = UInt8(Int(levels[byte & 15]) + 128)
      parts.integers[place + i + 16] = UInt8(Int(levels[byte >> 4]) + 128)
    }
  }

  static func q3_K(_ block: BlockBytes, _ parts: BlockParts) {
    let d = block.half(108)
    for group in 0..<16 {
      let (half, part) = (group / 8, group % 8)
      let low = group < 8 ? block[96 + group] & 15 : block[96 + group - 8] >> 4
      let high = block[96 + 8 + group % 4] >> (2 * (group / 4)) & 3
      parts.scales[group] = d * Float((low | high << 4) - 32)
      let first = 16 * (part % 2)
      for i in 0..<16 {
        let q = block[32 + 32 * half + first + i] >> (2 * (part / 2)) & 3
        let isHigh = block[first + i] >> (group / 2) & 1
        parts.integers[16 * group + i] = UInt8(q - 4 * (1 - isHigh) + 32)
      }
    }
  }

  static func q4_K(_ block: BlockBytes, _ parts: BlockParts) {
    scalesAndMinima(block, parts)
    for group in 0..<8 {
      let first = 16 + 32 * (group / 2)
      let shift = 4 * (group % 2)
      for i in 0..<32 { parts.integers[32 * group + i] = UInt8(block[first + i] >> shift & 15) }
    }
  }

  static func q5_K(_ block: BlockBytes, _ parts: BlockParts) {
    scalesAndMinima(block, parts)
    for group in 0..<8 {
      let first = 48 + 32 * (group / 2)
      let shift = 4 * (group % 2)
      for i in 0..<32 {
        parts.integers[32 * group + i] = UInt8(
          block[first + i] >> shift & 15 | (block[16 + i] >> group & 1) << 4)
      }
    }
  }

  private static func scalesAndMinima(_ block: BlockBytes, _ parts: BlockParts) {
    let d = block.half(0)
    let dmin = block.half(2)
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(block, 4, group)
      parts.scales[group] = d * scale
      parts.minima[group] = -(dmin * minimum)
    }
  }

  static func q6_K(_ block: BlockBytes, _ parts: BlockParts) {
    let d = block.half(208)
    for group in 0..<16 {
      let (half, part) = (group / 8, group % 8)
      parts.scales[group] = d * Float(block.signed(192 + group))
      let row = part / 2
      let first = 16 * (part % 2)
      for i in 0..<16 {
        let low = block[64 * half + 32 * (row % 2) + first + i] >> (4 * (row / 2)) & 15
        let high = block[128 + 32 * half + first + i] >> (2 * row) & 3
        parts.integers[16 * group + i] = UInt8(low | high << 4)
      }
    }
  }
}
