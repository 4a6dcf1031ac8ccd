import TensorCore

/// One way in which people keep samples in a folder; a new one is a file with such a value and a row
/// in `all`.
struct FolderLayout: Sendable {
  /// What it looks like, for the message when no layout fits.
  let summary: String
  /// Whether what lies in the sub-folder of this name belongs to the folder's own samples.
  let ownsSubfolder: @Sendable (String) -> Bool
  let recognizes: @Sendable (SamplePlace) -> Bool
  /// Reads all samples of a place that is recognised; what is wrong with one is a refusal, what is
  /// wrong with all an error.
  let read: @Sendable (SamplePlace, inout SampleReader) throws(InputError) -> Void

  /// The first that recognises a folder reads it.
  static let all: [FolderLayout] = [.metadata, .lists, .mmeFolder, .imageFolder]
}

/// One way in which people keep samples in a file; a new one is a file with such a value and a row
/// in `all`.
struct ListLayout: Sendable {
  /// What it looks like, for the message when no layout fits.
  let summary: String
  let recognizes: @Sendable (ListFile) -> Bool
  /// As `FolderLayout.read`; the place says where images lie and what the task is called.
  let read: @Sendable (ListFile, SamplePlace, inout SampleReader) throws(InputError) -> Void

  /// The first that recognises a file reads it.
  static let all: [ListLayout] = [
    .webDataset, .metadataLines, .conversations, .chatMessages, .questions, .vlmEvalKit,
    .metadataTable,
  ]

  /// The layout of `file`; nil if it is no list of samples.
  static func of(_ file: ListFile) -> ListLayout? { all.first { $0.recognizes(file) } }
}

extension FolderLayout {
  /// A `metadata.jsonl` or `metadata.csv` says what the images of the folder, and of those below,
  /// are.
  static let metadata = FolderLayout(
    summary: "a folder with a metadata.jsonl or metadata.csv",
    ownsSubfolder: { _ in true },
    recognizes: { place in metadataNames.contains { place.names.contains($0.name) } },
    read: { (place, reader) throws(InputError) in
      for (name, layout) in metadataNames where place.names.contains(name) {
        try layout.read(try ListFile(place.path(name)), place, &reader)
      }
    })

  private static let metadataNames: [(name: String, layout: ListLayout)] = [
    ("metadata.jsonl", .metadataLines), ("metadata.csv", .metadataTable),
  ]

  /// Lists in other layouts, whatever their names; their samples share the folder's task.
  static let lists = FolderLayout(
    summary: "a folder with such a file",
    ownsSubfolder: { _ in true },
    recognizes: { place in !listFiles(in: place).isEmpty },
    read: { (place, reader) throws(InputError) in
      for (file, layout) in listFiles(in: place) { try layout.read(file, place, &reader) }
    })

  /// The files of `place` that list samples.  A file named like an image beside it describes that
  /// image and is not looked at.
  private static func listFiles(in place: SamplePlace) -> [(ListFile, ListLayout)] {
    let images = Set(place.names.compactMap { ImageName($0)?.stem })
    return place.names.compactMap { name in
      guard let dot = name.lastIndex(of: "."), !images.contains(String(name[..<dot])),
        ListFile.endings.contains(name[dot...].lowercased()),
        let file = try? ListFile(place.path(name)), let layout = ListLayout.of(file)
      else { return nil }
      return (file, layout)
    }
  }
}
