import TensorCore

extension ListLayout {
  /// Hugging Face's image folder: `metadata.jsonl`, one JSON object per line, with `file_name` (or
  /// a list), `question`, `prompt` or `text`, and `answer`.  Other members are ignored.
  static let metadataLines = ListLayout(
    summary: "lines of JSON with 'file_name'",
    recognizes: { file in
      !file.isArray && ["file_name", "file_names"].contains { file.firstObject?[$0] != nil }
    },
    read: { (file, place, reader) throws(InputError) in
      file.forEachObject(of: place, into: &reader) { (fields) throws(InputError) in
        SampleDescription(
          images: try place.images(try fields.fileNames), question: try fields.question,
          answer: try fields.answer)
      }
    })
}

extension ListFile {
  /// Adds one sample per entry, named by its number; what cannot be told apart is refused as one.
  func forEachEntry(
    of place: SamplePlace, into reader: inout SampleReader,
    _ describe: (Entry) throws(InputError) -> SampleDescription
  ) {
    let (entries, problem) = entries
    for entry in entries {
      reader.add(place.id("\(name):\(entry.number)"), in: place) { () throws(InputError) in
        try describe(entry)
      }
    }
    if let problem { reader.refuse(place.id("\(name):\(entries.count + 1)"), problem) }
  }

  /// The same for entries that are objects of text alone.
  func forEachObject(
    of place: SamplePlace, into reader: inout SampleReader,
    _ describe: (SampleFields) throws(InputError) -> SampleDescription
  ) {
    forEachEntry(of: place, into: &reader) { (entry) throws(InputError) in
      try describe(SampleFields(parsing: try text(entry.range, limit: SampleLimits.sample)))
    }
  }
}
