import Architecture
import Glibc
import TensorCore

/// What is finished of a file that is being written, line by line in a file beside it, so that
/// another run can go on after this one was killed.
///
/// The first line says what is written, each other one tells of a tensor.  Lines are JSON, a space
/// and the CRC-32 of the JSON: one that was cut off shows.
final class PackJournal {
  /// A tensor all of whose bytes are in the file.
  struct Entry: Equatable {
    var tensor: String
    var crc: UInt32
    var sourceCRC: UInt32
    /// What the writer's caller keeps with it.
    var note: JSONValue
  }

  private let path: String
  private let file: UnsafeMutablePointer<FILE>

  /// Starts a journal, or goes on with one after the given entries.
  init(_ path: String, setup: JSONValue, entries: [Entry] = []) throws(InputError) {
    self.path = path
    unsafe unlink(path)
    guard let file = unsafe fopen(path, "wxe") else {
      throw InputError.unwritable(path, errno)
    }
    unsafe self.file = file
    do throws(InputError) {
      try write(setup)
      for entry in entries { try add(entry) }
    } catch {
      unsafe fclose(file)
      unsafe unlink(path)
      throw error
    }
  }

  deinit { unsafe fclose(file) }

  func add(_ entry: Entry) throws(InputError) {
    try write([
      "tensor": .string(entry.tensor), "crc": .integer(Int(entry.crc)),
      "source_crc": .integer(Int(entry.sourceCRC)), "note": entry.note,
    ])
  }

  private func write(_ value: JSONValue) throws(InputError) {
    let json = value.canonicalBytes
    let line = json + " \(CRC32(of: json).value)\n".utf8
    let written = unsafe line.withUnsafeBytes {
      unsafe fwrite($0.baseAddress, 1, $0.count, file)
    }
    guard unsafe written == line.count && fflush(file) == 0 else {
      throw InputError.unwritable(path, errno)
    }
  }

  /// The setup and the entries of the journal at `path`, up to the first line that is not whole.
  static func read(_ path: String) throws(InputError) -> (setup: JSONValue, entries: [Entry]) {
    guard PathKind(of: path) != .missing else {
      throw InputError(path, "is missing; leave --resume out to start anew")
    }
    let bytes = try fileBytes(at: path, limit: 64 << 20)
    var lines = bytes.split(separator: 0x0A).map(value(of:))[...]
    guard let first = lines.popFirst(), let setup = first else {
      throw InputError(path, "is damaged; leave --resume out to start anew")
    }
    var entries: [Entry] = []
    for case let value? in lines.prefix(while: { $0 != nil }) {
      guard let tensor = value["tensor"]?.stringValue,
        let crc = value["crc"]?.integerValue.flatMap({ UInt32(exactly: $0) }),
        let sourceCRC = value["source_crc"]?.integerValue.flatMap({ UInt32(exactly: $0) }),
        let note = value["note"]
      else { break }
      entries.append(Entry(tensor: tensor, crc: crc, sourceCRC: sourceCRC, note: note))
    }
    return (setup, entries)
  }

  /// The JSON of a whole line.
  private static func value(of line: ArraySlice<UInt8>) -> JSONValue? {
    guard let space = line.lastIndex(of: 0x20) else { return nil }
    let json = Array(line[..<space])
    guard String(decoding: line[(space + 1)...], as: UTF8.self) == "\(CRC32(of: json).value)"
    else { return nil }
    return try? JSONValue(parsing: json, file: "journal")
  }
}
