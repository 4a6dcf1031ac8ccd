package import TensorCore

/// Ten thousand texts that tokenizers have trouble with, the same here and in
/// `tools/reference/hostile_texts.py`, which says how they are made.
package enum HostileTexts {
  private static let count = 10_000
  private static let longCount = 10
  private static let longBytes = 100_000
  private static let repeated = ["a", "the ", "\u{6f22}", "\u{301}\u{323}"]

  /// First and last code points of blocks.
  private static let ranges: [(UInt32, UInt32)] = [
    (0x01, 0x1F), (0x20, 0x7E), (0x7F, 0x9F), (0xA0, 0x24F), (0x300, 0x36F), (0x391, 0x3A1),
    (0x400, 0x4FF), (0x5D0, 0x5EA), (0x660, 0x669), (0x905, 0x939), (0xE01, 0xE3A),
    (0x1100, 0x1112), (0x1161, 0x1175), (0x2000, 0x200F), (0x2028, 0x202F), (0x2150, 0x2188),
    (0x2460, 0x249B), (0x2581, 0x2583), (0x3000, 0x3011), (0x3041, 0x3096), (0x4E00, 0x4E7F),
    (0xAC00, 0xAC7F), (0xE000, 0xE00F), (0xFE00, 0xFE0F), (0xFF01, 0xFF5E), (0xFFF9, 0xFFFD),
    (0x1D400, 0x1D454), (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF), (0x1F600, 0x1F64F),
    (0x20000, 0x2003F), (0xE0020, 0xE007F), (0x10FFF0, 0x10FFFD),
  ]

  /// All texts, in the order of the digests.
  package static func all() throws(InputError) -> [String] {
    let path = fixturePath("tokenizers/demo.cases.json")
    let json = try JSONValue(
      parsing: try fileBytes(at: path, limit: 1 << 22), file: path, limits: .configuration)
    let known = (json["cases"]?.arrayValue ?? []).compactMap { $0["text"]?.stringValue }
      .filter { !$0.utf8.contains(0) }
    let lines = known.filter { text in
      !text.isEmpty && !text.utf8.contains { $0 == 0x0A || $0 == 0x0D }
    }
    return (0..<count).map { number in
      var random = SplitMix64(seed: UInt64(number))
      let place = number - (count - longCount)
      var text = ""
      if place < 0 {
        for _ in 0...remainder(&random, 8) { text += part(&random, known) }
      } else if place < repeated.count {
        text = String(
          repeating: repeated[place], count: longBytes / repeated[place].utf8.count)
      } else {
        while text.utf8.count < longBytes { text += lines[remainder(&random, lines.count)] }
      }
      return text
    }
  }

  private static func part(_ random: inout SplitMix64, _ texts: [String]) -> String {
    if remainder(&random, 4) == 0 {
      let (first, last) = ranges[remainder(&random, ranges.count)]
      var run = ""
      for _ in 0...remainder(&random, 6) {
        let value = first + UInt32(remainder(&random, Int(last - first) + 1))
        if let scalar = Unicode.Scalar(value) { run.unicodeScalars.append(scalar) }
      }
      return run
    }
    let text = texts[remainder(&random, texts.count)]
    guard remainder(&random, 16) == 0 else { return text }
    return String(repeating: text, count: 2 + remainder(&random, 4))
  }

  private static func remainder(_ random: inout SplitMix64, _ bound: Int) -> Int {
    Int(random.next() % UInt64(bound))
  }

  /// Ids folded to 16 bits: FNV-1a of them as u32, its halves joined by exclusive or twice.
  package static func digest(_ ids: [Int32]) -> UInt16 {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for id in ids {
      for shift in stride(from: 0, to: 32, by: 8) {
        value = (value ^ UInt64(UInt32(bitPattern: id) >> UInt32(shift) & 0xFF)) &* 0x100_0000_01B3
      }
    }
    value ^= value >> 32
    return UInt16(truncatingIfNeeded: value ^ value >> 16)
  }

  /// The digests of a file, one for each text.
  package static func digests(at path: String) throws(InputError) -> [UInt16] {
    let bytes = try fileBytes(at: path, limit: 1 << 20)
    guard bytes.count == 2 * count else { throw InputError(path, "has \(bytes.count) bytes") }
    return (0..<count).map { UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8 }
  }
}
