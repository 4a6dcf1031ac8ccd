import Glibc
import TensorCore
import Testing
import VTWMFile

/// Whatever happens to a file's bytes, reading ends in one error.
@Suite struct DamageTests {
  let folder: TemporaryFolder
  let path: String
  let original: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("text.vtwm")
    try TinyModel.writeTextOnly(at: path)
    original = try readBytes(path)
  }

  private func isRefused() -> Bool {
    do {
      try VTWMFile(opening: path).verify()
      return false
    } catch { return !error.problem.isEmpty && error.file == path }
  }

  @Test func truncationAtEveryLengthIsRefused() throws {
    var accepted: [Int] = []
    for length in stride(from: original.count - 1, through: 0, by: -1) {
      guard unsafe truncate(path, off_t(length)) == 0 else { throw InputError(path, "truncate") }
      if !isRefused() { accepted.append(length) }
    }
    #expect(accepted.isEmpty)
  }

  @Test func everyFlippedBitPatternOfEveryByteIsRefused() throws {
    let descriptor = unsafe open(path, O_WRONLY)
    defer { close(descriptor) }
    var accepted: [Int] = []
    for (offset, byte) in original.enumerated() {
      // Another pattern for each byte, so that every bit is flipped somewhere in each structure.
      var flipped = byte ^ UInt8(1 + offset % 255)
      unsafe pwrite(descriptor, &flipped, 1, off_t(offset))
      if !isRefused() { accepted.append(offset) }
      var whole = byte
      unsafe pwrite(descriptor, &whole, 1, off_t(offset))
    }
    #expect(accepted.isEmpty)
    #expect(!isRefused())
  }

  /// Changes fields at random with checksums made to fit, so that the deep checks see them: the
  /// file opens or is refused, and never anything else.
  @Test func randomChangesWithGoodChecksumsEndInAValueOrAnError() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SplitMix(state: seed)
    try TinyModel.writeVisual(at: folder.file("visual.vtwm"))
    let sources = try [FileBytes(original), FileBytes(folder.read("visual.vtwm"))]
    let clock = ContinuousClock()
    let end = clock.now + .seconds(3)
    var opened = 0
    var refused = 0
    while clock.now < end {
      var file = sources[Int.random(in: 0...1, using: &random)]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: file.sections.indices, using: &random)
        guard !file.sections[place].raw.isEmpty else { continue }
        Self.change(&file.sections[place].raw, &random)
      }
      var bytes = file.bytes
      if Int.random(in: 0..<4, using: &random) == 0 {
        let table = 128..<128 + 80 * file.sections.count
        let offset = Int.random(in: 8..<table.upperBound - 8, using: &random)
        FileBytes.put(&bytes, offset, Self.number(&random))
        FileBytes.put(&bytes, 48, UInt32(file.sections.count))
        FileBytes.reseal(&bytes)
      }
      let path = try folder.write(bytes, as: "fuzz.vtwm")
      do {
        try VTWMFile(opening: path).verify()
        opened += 1
      } catch {
        refused += 1
        #expect(error.file == path && !error.description.contains("\n"), "seed \(seed)")
      }
    }
    #expect(opened > 0 && refused > 100, "seed \(seed): \(opened) opened, \(refused) refused")
  }

  private static func number(_ random: inout SplitMix) -> UInt64 {
    let edges: [UInt64] = [
      0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 40, 1 << 62,
      UInt64(Int64.max), UInt64(Int64.max) - 63, 1 << 63, .max - 63, .max,
    ]
    return edges.randomElement(using: &random) ?? 0
  }

  private static func change(_ bytes: inout [UInt8], _ random: inout SplitMix) {
    let offset = Int.random(in: bytes.indices, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1: bytes[offset] = UInt8.random(in: 0 ... .max, using: &random)
    case 2 where offset + 4 <= bytes.count:
      FileBytes.put(&bytes, offset & ~3, UInt32(truncatingIfNeeded: number(&random)))
    case 3 where offset & ~7 + 8 <= bytes.count:
      FileBytes.put(&bytes, offset & ~7, number(&random))
    case 4: bytes.remove(at: offset)
    default: bytes.insert(bytes[offset], at: offset)
    }
  }
}

/// SplitMix64: a generator whose seed can be printed and used again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
