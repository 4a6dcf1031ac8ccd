import TensorCore
import Testing

@Suite struct EncodingTests {
  @Test func keepsTheFileConstants() {
    let constants: [(Encoding, UInt16, String)] = [
      (.f32, 1, "f32"), (.f16, 2, "f16"), (.bf16, 3, "bf16"), (.q8, 16, "q8"),
      (.q4, 17, "q4"), (.q4a, 18, "q4a"), (.q5a, 19, "q5a"), (.q6, 20, "q6"),
    ]
    #expect(constants.count == Encoding.allCases.count)
    for (encoding, rawValue, name) in constants {
      #expect(encoding.rawValue == rawValue)
      #expect(encoding.name == name)
      #expect(Encoding(name: name) == encoding)
    }
    #expect(Encoding(name: "F32") == nil)
    #expect(Encoding(name: "") == nil)
    #expect(Encoding(rawValue: 0) == nil)
  }

  @Test func keepsTilesOfWholeCacheLines() {
    for encoding in Encoding.allCases where encoding != .f32 {
      #expect(encoding.tileBytes.isMultiple(of: 64), "\(encoding.name)")
    }
  }
}

@Suite struct TileLayoutTests {
  // Bytes: f32 4·r·c; f16 2·r'·c; bf16 2·r'·c'; q8 (2 + 32)·r'·c'/32; q4 (2 + 16)·r'·c'/32, with ' for padding.
  @Test(arguments: [
    (Encoding.f32, 3, 5, 3, 5, 20, 60), (.f32, 1, 1, 1, 1, 4, 4),
    (.f16, 32, 8, 32, 8, 512, 512), (.f16, 33, 7, 64, 7, 448, 896), (.f16, 1, 1, 32, 1, 64, 64),
    (.bf16, 32, 8, 32, 8, 512, 512), (.bf16, 31, 9, 32, 10, 640, 640),
    (.q8, 32, 32, 32, 32, 1088, 1088), (.q8, 33, 31, 64, 32, 1088, 2176),
    (.q8, 4096, 11008, 4096, 11008, 374_272, 47_906_816),
    (.q4, 32, 32, 32, 32, 576, 576), (.q4, 33, 33, 64, 64, 1152, 2304),
    (.q4, 4096, 11008, 4096, 11008, 198_144, 25_362_432),
    (.q4a, 33, 33, 64, 64, 1280, 2560), (.q5a, 33, 33, 64, 64, 1536, 3072),
    (.q6, 33, 33, 64, 64, 1792, 3584),
    (.q8, 0, 5, 0, 32, 1088, 0), (.q8, 5, 0, 32, 0, 0, 0), (.f32, 0, 0, 0, 0, 0, 0),
  ])
  func padsToWholeTiles(
    encoding: Encoding, rows: Int, columns: Int, paddedRows: Int, paddedColumns: Int,
    panelBytes: Int, byteCount: Int
  ) throws {
    let layout = try #require(TileLayout(encoding, rows: rows, columns: columns))
    #expect(layout.rows == rows)
    #expect(layout.columns == columns)
    #expect(layout.paddedRows == paddedRows)
    #expect(layout.paddedColumns == paddedColumns)
    #expect(layout.panelBytes == panelBytes)
    #expect(layout.byteCount == byteCount)
  }

  @Test(arguments: [
    (-1, 1), (1, -1), (.max, 1), (1, .max), (1 << 33, 1 << 31), (.max, .max), (.min, .min),
    (.max, 0), (1 << 60, 1 << 2),
  ])
  func refusesSizesThatOverflow(rows: Int, columns: Int) {
    for encoding in Encoding.allCases where !(encoding == .f32 && columns == 0) {
      #expect(TileLayout(encoding, rows: rows, columns: columns) == nil, "\(encoding.name)")
    }
  }
}
