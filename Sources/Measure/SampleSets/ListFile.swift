import TensorCore

/// A file that lists samples, mapped while it is read.
///
/// What it is shows in its first bytes.  Nothing but a line, an entry or a cell at a time is copied.
struct ListFile: Sendable {
  /// Where the text of one sample lies.
  struct Entry {
    /// From 1: the line of a file of lines, the place in an array.
    var number: Int
    var range: Range<Int>
  }

  /// The endings of files that are looked at when a folder is given.
  static let endings: Set<String> = [".jsonl", ".json", ".ndjson", ".tsv", ".csv", ".tar"]

  let path: String
  /// The last part of the path.
  let name: String
  let region: ByteRegion
  /// Where the text begins: behind a byte order mark.
  let start: Int
  /// The object of the first entry that is one, among the first eight; nil if there is none.
  private(set) var firstObject: JSONValue?

  /// - Throws: `InputError` if the path is not a readable, regular, non-empty file.
  init(_ path: String) throws(InputError) {
    self.path = path
    name = path.split(separator: "/").last.map(String.init) ?? path
    region = try ByteRegion(mapping: path)
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    start = region.copy(0..<min(3, region.byteCount)) == mark ? 3 : 0
    firstObject = findFirstObject()
  }

  /// All bytes of the file, from offset 0.
  var bytes: Span<UInt8> {
    @_lifetime(borrow self) get { Span<UInt8>(_bytes: region.bytes) }
  }

  /// The bytes of `range`.
  ///
  /// - Throws: `InputError` if there are more than `limit`.
  func text(_ range: Range<Int>, limit: Int) throws(InputError) -> [UInt8] {
    guard range.count <= limit else {
      throw InputError(path, "has \(range.count) bytes, more than the limit of \(limit)")
    }
    return region.copy(range)
  }

  /// Whether the file is an array of JSON.
  var isArray: Bool { firstVisible == UInt8(ascii: "[") }

  /// The texts of the samples: the elements of an array, or else the lines that are not blank.
  ///
  /// - Returns: the entries, and why there may be more of them than could be told apart.
  var entries: (entries: [Entry], problem: String?) {
    let (entries, problem) =
      isArray
      ? elements(limit: SampleLimits.entries + 1) : (lines(limit: SampleLimits.entries + 1), nil)
    guard entries.count > SampleLimits.entries else { return (entries, problem) }
    return (Array(entries.dropLast()), "more than \(SampleLimits.entries) entries are not read")
  }

  private func findFirstObject() -> JSONValue? {
    guard let first = firstVisible, first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else {
      return nil
    }
    for entry in head(8) {
      guard entry.range.count <= SampleLimits.image else { continue }
      let value = try? JSONValue(
        parsing: region.copy(entry.range), limits: SampleLimits.jsonWithImages)
      if let value, value.objectValue != nil { return value }
    }
    return nil
  }

  private var firstVisible: UInt8? {
    let bytes = bytes
    var place = start
    while place < min(bytes.count, start + 4096) {
      if !isSpace(bytes[place]) { return bytes[place] }
      place += 1
    }
    return nil
  }

  private func head(_ count: Int) -> [Entry] {
    isArray ? elements(limit: count).entries : lines(limit: count)
  }

  private func lines(limit: Int) -> [Entry] {
    let bytes = bytes
    var entries: [Entry] = []
    var number = 1
    var lineStart = start
    var isBlank = true
    for place in start...bytes.count {
      let isEnd = place == bytes.count || bytes[place] == UInt8(ascii: "\n")
      if isEnd {
        if !isBlank { entries.append(Entry(number: number, range: lineStart..<place)) }
        if entries.count == limit { break }
        number += 1
        lineStart = place + 1
        isBlank = true
      } else if isBlank, !isSpace(bytes[place]) {
        isBlank = false
      }
    }
    return entries
  }

  /// Tells the elements of the array apart by its brackets and strings; each is parsed by itself
  /// later, so that one that is broken spoils no other.
  private func elements(limit: Int) -> (entries: [Entry], problem: String?) {
    let bytes = bytes
    var entries: [Entry] = []
    var depth = 0
    var isString = false
    var elementStart: Int?
    var elementEnd = start
    var place = start
    while place < bytes.count {
      let byte = bytes[place]
      defer { place += 1 }
      if isString {
        if byte == UInt8(ascii: "\\") {
          place += 1
        } else if byte == UInt8(ascii: "\"") {
          isString = false
          elementEnd = place + 1
        }
        continue
      }
      if isSpace(byte) { continue }
      if depth == 1, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") {
        if let first = elementStart {
          entries.append(Entry(number: entries.count + 1, range: first..<elementEnd))
        } else if byte == UInt8(ascii: ",") || !entries.isEmpty {
          return (entries, "an element is missing at byte \(place + 1)")
        }
        elementStart = nil
        if entries.count == limit { return (entries, nil) }
        if byte == UInt8(ascii: ",") { continue }
      } else if depth == 1, elementStart == nil {
        elementStart = place
      }
      switch byte {
      case UInt8(ascii: "\""): isString = true
      case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        depth -= 1
        if depth == 0 {
          var rest = place + 1
          while rest < bytes.count, isSpace(bytes[rest]) { rest += 1 }
          return (
            entries,
            rest == bytes.count ? nil : "text after the end of the array at byte \(rest + 1)"
          )
        }
      default: break
      }
      elementEnd = place + 1
    }
    return (entries, "the array does not end")
  }
}

private func isSpace(_ byte: UInt8) -> Bool {
  byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    || byte == UInt8(ascii: "\n")
}
