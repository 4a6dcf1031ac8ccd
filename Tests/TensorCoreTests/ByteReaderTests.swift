import TensorCore
import Testing

@Suite struct ByteReaderTests {
  private func reader(_ bytes: [UInt8]) -> ByteReader {
    ByteReader(bytes, file: "f.bin", what: "header")
  }

  @Test func readsLittleEndian() throws {
    var reader = reader([1, 2, 3, 4, 5, 6, 7, 0xFF, 0xFE, 0x80, 0, 0, 0x80, 0xBF])
    #expect(try reader.integer(UInt8.self) == 1)
    #expect(try reader.integer(UInt16.self) == 0x0302)
    #expect(try reader.integer(UInt32.self) == 0x0706_0504)
    #expect(try reader.integer(Int16.self) == -257)
    #expect(try reader.integer(Int8.self) == -128)
    #expect(try reader.float() == -1)
    #expect(reader.remaining == 0)
  }

  @Test func readsBackWhatTheWriterWrote() throws {
    var writer = ByteWriter()
    writer.integer(UInt8.max)
    writer.integer(Int8.min)
    writer.integer(UInt16(0xBEEF))
    writer.integer(Int32.min)
    writer.integer(UInt64.max)
    writer.integer(Int64(-2))
    writer.float(-.pi)
    writer.float(.nan)
    writer.append("text".utf8)
    writer.align(to: 8)
    writer.align(to: 8)
    writer.zeros(3)
    #expect(writer.bytes.count == 1 + 1 + 2 + 4 + 8 + 8 + 4 + 4 + 4 + 4 + 3)

    var reader = reader(writer.bytes)
    #expect(try reader.integer() == UInt8.max)
    #expect(try reader.integer() == Int8.min)
    #expect(try reader.integer() == UInt16(0xBEEF))
    #expect(try reader.integer() == Int32.min)
    #expect(try reader.integer() == UInt64.max)
    #expect(try reader.integer() == Int64(-2))
    #expect(try reader.float() == -.pi)
    #expect(try reader.float().isNaN)
    #expect(try reader.string(4) == "text")
    try reader.reserved(7)
    #expect(reader.remaining == 0)
  }

  @Test func refusesToReadPastTheEndAndStaysThere() throws {
    var reader = reader([1, 2, 3])
    let error = #expect(throws: InputError.self) { try reader.integer(UInt32.self) }
    #expect(
      error?.description == "f.bin: header: ends early: 4 bytes wanted, 3 left (at byte 0)")
    #expect(try reader.integer(UInt16.self) == 0x0201)
    #expect(throws: InputError.self) { try reader.take(2) }
    #expect(throws: InputError.self) { try reader.take(-1) }
    #expect(throws: InputError.self) { try reader.take(.max) }
    #expect(throws: InputError.self) { try reader.size() }
    #expect(try reader.take(1) == [3])
    #expect(try reader.take(0).isEmpty)
  }

  @Test func refusesSizesThatDoNotFit() throws {
    var fine = reader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
    #expect(try fine.size() == .max)
    var large = reader([0, 0, 0, 0, 0, 0, 0, 0x80])
    let error = #expect(throws: InputError.self) { try large.size() }
    #expect(error?.problem.contains("number 9223372036854775808 is too large") == true)
  }

  @Test func seeksInsideItsBytesOnly() throws {
    var reader = reader([1, 2, 3])
    try reader.seek(to: 3)
    #expect(reader.remaining == 0)
    try reader.seek(to: 1)
    #expect(try reader.integer() == UInt8(2))
    #expect(throws: InputError.self) { try reader.seek(to: 4) }
    #expect(throws: InputError.self) { try reader.seek(to: -1) }
    #expect(reader.offset == 2)
  }

  @Test func refusesReservedBytesThatAreNotZero() throws {
    var reader = reader([0, 0, 0, 7])
    try reader.reserved(3)
    #expect(throws: InputError.self) { try reader.reserved(1) }
  }

  @Test func refusesTextThatIsNotUTF8WhereItStarts() throws {
    var reader = reader([0x41, 0xC3, 0xA9, 0xC3])
    #expect(try reader.string(3) == "Aé")
    let error = #expect(throws: InputError.self) { try reader.string(1) }
    #expect(error?.problem == "header: text is not UTF-8 (at byte 3)")
    #expect(reader.offset == 3)
  }
}
