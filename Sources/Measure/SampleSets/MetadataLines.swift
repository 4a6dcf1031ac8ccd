import TensorCore

extension SampleLayout {
  /// Hugging Face's image folder: `metadata.jsonl`, one JSON object per line, with `file_name` (or
  /// a list), `question`, `prompt` or `text`, and `answer`.  Other members are ignored.
  static let metadataLines = SampleLayout(
    summary: "a folder with a metadata.jsonl",
    describesSubfolders: true,
    recognizes: { place in
      place.isFolder ? place.names.contains(fileName) : startsWithFileName(place.path)
    },
    read: { (place, reader) throws(InputError) in
      let path = place.isFolder ? place.path(fileName) : place.path
      let listName = String(path.split(separator: "/").last ?? "")
      for (number, line) in lines(try fileBytes(at: path, limit: SampleLimits.list)) {
        reader.add(place.id("\(listName):\(number)"), task: place.task) {
          () throws(InputError) in
          let fields = try SampleFields(parsing: line)
          var imagePaths: [String] = []
          for name in try fields.fileNames { imagePaths.append(try place.image(name)) }
          return SampleDescription(
            imagePaths: imagePaths, question: try fields.question, answer: try fields.answer)
        }
      }
    })

  private static let fileName = "metadata.jsonl"

  /// Whether the first line of the file is an object that names an image.
  private static func startsWithFileName(_ path: String) -> Bool {
    guard let bytes = try? fileBytes(at: path, limit: SampleLimits.list),
      let first = lines(bytes).first, let fields = try? SampleFields(parsing: first.text)
    else { return false }
    return (try? fields.fileNames) != nil
  }
}

/// The lines of `bytes` that are not blank, with their numbers from 1.
private func lines(_ bytes: [UInt8]) -> [(number: Int, text: [UInt8])] {
  let newline = UInt8(ascii: "\n")
  let space: Set<UInt8> = [UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r")]
  return bytes.split(separator: newline, omittingEmptySubsequences: false).enumerated()
    .filter { !$0.element.allSatisfy(space.contains) }
    .map { ($0.offset + 1, Array($0.element)) }
}
