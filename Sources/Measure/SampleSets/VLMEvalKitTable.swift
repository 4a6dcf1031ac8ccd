import Prompting
import TensorCore

extension ListLayout {
  /// VLMEvalKit's tables (TSV): `index`, `image` (base64, a list of such, or the index of the row
  /// that has it) or `image_path`, `question`, `hint`, options `A`, `B` …, `answer`, `category`,
  /// which is the task.
  static let vlmEvalKit = ListLayout(
    summary: "a VLMEvalKit table (TSV)",
    recognizes: { file in
      guard let columns = (try? DelimitedRows(file, .tabs))?.columns else { return false }
      return columns["index"] != nil && columns["question"] != nil
        && (columns["image"] != nil || columns["image_path"] != nil)
    },
    read: { (file, place, reader) throws(InputError) in
      let table = VLMEvalKitTable(file, try DelimitedRows(file, .tabs))
      table.rows.forEach { row in
        reader.add(place.id("\(file.name):\(row.line)"), in: place) { () throws(InputError) in
          if let problem = row.problem { throw InputError("", problem) }
          return SampleDescription(
            images: try table.images(of: row, place), question: try table.question(of: row),
            answer: try table.rows.text("answer", of: row),
            task: try table.rows.text("category", of: row))
        }
      }
    })
}

private struct VLMEvalKitTable {
  let rows: DelimitedRows
  private let file: ListFile
  /// Columns of one capital letter, in order.
  private let options: [String]
  /// The `image` cell of every row, by the row's `index`.
  private let images: [String: DelimitedRows.Cell]

  // VLMEvalKit's own rule: an image this short is the index of the row that has it.
  private static let longestIndex = 64

  init(_ file: ListFile, _ rows: DelimitedRows) {
    self.file = file
    self.rows = rows
    options = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".map(String.init).filter { rows.columns[$0] != nil }
    var images: [String: DelimitedRows.Cell] = [:]
    rows.forEach { row in
      guard row.problem == nil, let cell = rows.cell("image", of: row),
        let index = try? rows.text("index", of: row)
      else { return }
      images[index] = images[index] ?? cell
    }
    self.images = images
  }

  /// The question as VLMEvalKit asks it; with options in the table it is a multiple choice.
  func question(of row: DelimitedRows.Row) throws(InputError) -> String? {
    guard let question = try rows.text("question", of: row) else { return nil }
    if options.isEmpty { return question }
    var text = ""
    if let hint = try rows.text("hint", of: row) { text += "Hint: \(hint)\n" }
    text += "Question: \(question)\n"
    var choices = ""
    for letter in options {
      if let choice = try rows.text(letter, of: row) { choices += "\(letter). \(choice)\n" }
    }
    if !choices.isEmpty {
      text += "Options:\n\(choices)Please select the correct answer from the options above. \n"
    }
    return text
  }

  /// The row's images, by reference where it names another row.
  func images(of row: DelimitedRows.Row, _ place: SamplePlace) throws(InputError) -> [ImageSource] {
    guard var cell = rows.cell("image", of: row) else {
      guard rows.columns["image"] == nil else { throw InputError("", "has no image") }
      guard let names = try rows.text("image_path", of: row) else {
        throw InputError("", "has no image_path")
      }
      return try place.images(try Self.names(names), orIn: "images")
    }
    if cell.range.count <= Self.longestIndex {
      let index = try rows.text("image", of: row) ?? ""
      guard let other = images[index] else {
        throw InputError("", "its image is that of row '\(printable(index))', which is not there")
      }
      guard other.range.count > Self.longestIndex else {
        throw InputError("", "its image is that of row '\(printable(index))', which has none")
      }
      cell = other
    }
    guard cell.range.count <= SampleLimits.image else {
      throw InputError(
        "", "its image has \(cell.range.count) characters; at most \(SampleLimits.image) are read")
    }
    var images: [ImageSource] = []
    for range in try parts(cell.range) {
      let name = "\(file.name):\(row.line): image \(images.count + 1)"
      // Decoded once here, so that a damaged one is refused before a model has run.
      do {
        _ = try decodeBase64(file.bytes, range, name: name)
      } catch {
        throw InputError("", "image \(images.count + 1) \(error.problem)")
      }
      images.append(ImageSource(in: file.path, range: range, isBase64: true, name: name))
    }
    return images
  }

  /// One image is its text alone, several are a list as Python writes it.
  private func parts(_ range: Range<Int>) throws(InputError) -> [Range<Int>] {
    let bytes = file.bytes
    guard bytes[range.lowerBound] == UInt8(ascii: "[") else { return [range] }
    var parts: [Range<Int>] = []
    var start: Int?
    for place in range where bytes[place] == UInt8(ascii: "'") || bytes[place] == UInt8(ascii: "\"")
    {
      if let first = start {
        parts.append(first..<place)
        start = nil
      } else {
        start = place + 1
      }
    }
    guard start == nil, !parts.isEmpty, bytes[range.upperBound - 1] == UInt8(ascii: "]") else {
      throw InputError("", "its images are no list of base64 texts")
    }
    return parts
  }

  /// One file name, or a list of them as Python writes it.
  private static func names(_ text: String) throws(InputError) -> [String] {
    guard text.hasPrefix("["), text.hasSuffix("]") else { return [text] }
    guard !text.contains("\\"), let quote = text.first(where: { $0 == "'" || $0 == "\"" }) else {
      throw InputError("", "'image_path' is no list of file names")
    }
    let pieces = text.split(separator: quote, omittingEmptySubsequences: false)
    return stride(from: 1, to: pieces.count, by: 2).map { String(pieces[$0]) }
  }
}
