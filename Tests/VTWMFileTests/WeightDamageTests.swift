import Architecture
import TensorCore
import Testing
import VTWMFile

/// What opening does not read, `verify` finds.
@Suite struct WeightDamageTests {
  let folder: TemporaryFolder
  let original: [UInt8]
  let infos: [TensorInfo]

  init() throws {
    folder = try TemporaryFolder()
    try TinyModel.writeVisual(at: folder.file("original.vtwm"))
    original = try folder.read("original.vtwm")
    infos = try VTWMFile(opening: folder.file("original.vtwm")).tensorInfos
  }

  /// Opens the bytes, which must succeed, and returns what `verify` says.
  private func verify(_ bytes: [UInt8]) throws -> String? {
    let file = try VTWMFile(opening: folder.write(bytes, as: "changed.vtwm"))
    do {
      try file.verify()
      return nil
    } catch { return error.problem }
  }

  private func range(_ key: TensorKey) throws -> Range<Int> {
    try #require(infos.first { $0.key == key }).byteRange
  }

  @Test func flippedWeightIsNamed() throws {
    var bytes = original
    bytes[try range(TensorKey(.down, layer: 1)).lowerBound + 5] ^= 0x10
    #expect(
      try verify(bytes) == "tensor 'text.layers.1.down': checksum is wrong; the file is damaged")
  }

  @Test func paddingBetweenTensorsIsRead() throws {
    var bytes = original
    bytes[try range(TensorKey(.query, layer: 0)).lowerBound - 1] = 1
    #expect(try verify(bytes) == "padding before tensor 'text.layers.0.query' is not zero")
  }

  @Test func progressEndsAtOne() throws {
    let file = try VTWMFile(opening: folder.file("original.vtwm"))
    var shares: [Double] = []
    try file.verify { shares.append($0) }
    #expect(shares == shares.sorted())
    #expect(shares.last == 1)
  }

  /// Writes `value` over the first bytes of a tensor and makes all checksums fit.
  private func poisoned(
    _ key: TensorKey, at offset: Int, _ value: some FixedWidthInteger
  ) throws -> [UInt8] {
    let index = try #require(infos.firstIndex { $0.key == key })
    var bytes = original
    FileBytes.put(&bytes, infos[index].byteRange.lowerBound + offset, value)
    var file = try FileBytes(bytes)
    let crc = CRC32(of: Array(bytes[infos[index].byteRange])).value
    file["TDIR"].put(32 + 64 * index + 48, crc)
    return file.bytes
  }

  @Test func weightsThatAreNotFiniteAreNamed() throws {
    for (key, offset, value, place) in [
      (TensorKey(.finalNorm), 4, UInt32(0x7FC0_0000), "weight at byte 4"),
      (TensorKey(.up, layer: 1), 0, UInt32(0xFF80_0000), "weight at byte 0"),
    ] {
      #expect(
        try verify(poisoned(key, at: offset, value)) == "tensor '\(key)': \(place) is not finite")
    }
    for (key, offset, value, place) in [
      (TensorKey(.query, layer: 0), 2, UInt16(0x7C00), "scale at byte 2"),
      (TensorKey(.embedding), 1088 + 62, UInt16(0xFE01), "scale at byte 1150"),
      (TensorKey(.key, layer: 0), 6, UInt16(0x7F80), "weight at byte 6"),
      (TensorKey(.value, layer: 0), 0, UInt16(0x7C01), "weight at byte 0"),
      (TensorKey(.gate, layer: 0), 64 + 4, UInt16(0x7C01), "scale at byte 68"),
      (TensorKey(.down, layer: 0), 126, UInt16(0xFC00), "scale at byte 126"),
    ] {
      #expect(
        try verify(poisoned(key, at: offset, value)) == "tensor '\(key)': \(place) is not finite")
    }
    // The largest finite half, and quants that would be infinite as halves, are fine.
    let query = TensorKey(.query, layer: 0)
    #expect(try verify(poisoned(query, at: 0, UInt16(0x7BFF))) == nil)
    #expect(try verify(poisoned(query, at: 64, UInt16(0x7C00))) == nil)
  }

  @Test func anyBitsOfWeightsOpen() throws {
    var bytes = original
    for info in infos {
      for place in info.byteRange { bytes[place] = 0xFF }
    }
    let file = try VTWMFile(opening: folder.write(bytes, as: "changed.vtwm"))
    #expect(file.tensors.keys.count == infos.count)
  }

  @Test func wrongDigestIsFound() throws {
    var bytes = original
    for section in 0..<15 {
      bytes = original
      bytes[128 + 80 * section + 40] ^= 1
      FileBytes.reseal(&bytes)
      #expect(try verify(bytes)?.contains("SHA-256 is wrong") == true)
    }
  }

  @Test func wrongSectionChecksumOfWeightsIsFound() throws {
    var bytes = original
    bytes[128 + 80 * 6 + 32] ^= 1
    FileBytes.reseal(&bytes)
    #expect(try verify(bytes) == "section WGTS 1: checksum is wrong; the file is damaged")
  }
}
