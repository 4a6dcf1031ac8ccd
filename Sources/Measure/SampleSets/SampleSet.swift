package import TensorCore

/// Samples in the layouts that people have, grouped by task; what could not be read is named.
///
/// A path is a folder or a file in one of the layouts of `FolderLayout` and `ListLayout`; which one
/// shows in its content.  The sub-folders of a folder are tasks of their own, unless a list beside
/// them describes them.  Names sort by bytes, so a set reads the
/// same everywhere.  Entries whose name starts with "." do not count.
package struct SampleSet: Equatable, Sendable {
  package private(set) var samples: [Sample]
  package private(set) var refused: [RefusedSample]

  /// What is asked about an image that comes without a question.
  package static let defaultQuestion = "Describe the image."

  package init(samples: [Sample], refused: [RefusedSample] = []) {
    self.samples = samples
    self.refused = refused
  }

  /// Reads the set at `path`.
  ///
  /// - Parameters:
  ///   - name: the task's name; nil takes the folder's own, or the file's without its ending.
  ///     Sub-folders and categories become "name/sub-folder" if there is a name, else their own
  ///     name.
  ///   - defaultQuestion: for samples that have none; nil refuses them.
  ///   - isRaw: whether questions are complete prompts.
  /// - Throws: `InputError` if nothing is there that can be read, or no sample is usable.
  package init(
    at path: String, name: String? = nil,
    defaultQuestion: String? = SampleSet.defaultQuestion, isRaw: Bool = false
  ) throws(InputError) {
    let root = try SamplePlace(at: path, name: name)
    var reader = SampleReader(defaultQuestion: defaultQuestion, isRaw: isRaw)
    if root.isFolder {
      for folder in try reader.readFolder(root) { try reader.readTask(root.subfolder(folder)) }
    } else {
      try reader.readList(root)
    }
    guard !reader.samples.isEmpty else {
      guard let first = reader.refused.first else {
        let layouts = ListLayout.all.map(\.summary) + FolderLayout.all.map(\.summary)
        throw InputError(path, "holds no samples: expected \(layouts.joined(separator: "; or "))")
      }
      throw InputError(
        path,
        """
        has no usable sample: \(reader.refused.count) refused, first \(printable(first.id)): \
        \(first.reason)
        """)
    }
    samples = reader.samples
    refused = reader.refused
  }

  /// Reads the set that a command-line argument names: `PATH` or `NAME=PATH`.
  ///
  /// An argument that is a path as a whole is taken for one, whatever it contains.
  package init(
    argument: String, defaultQuestion: String? = SampleSet.defaultQuestion, isRaw: Bool = false
  ) throws(InputError) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let isPath =
      parts.count < 2 || parts[0].isEmpty || parts[0].contains("/")
      || PathKind(of: argument) != .missing
    try self.init(
      at: isPath ? argument : String(parts[1]), name: isPath ? nil : String(parts[0]),
      defaultQuestion: defaultQuestion, isRaw: isRaw)
  }

  /// The tasks that have samples, in order of appearance.
  package var tasks: [String] {
    var seen: Set<String> = []
    return samples.map(\.task).filter { seen.insert($0).inserted }
  }

  /// Takes in another set; tasks of the same name become one, samples of the same name get a
  /// number.
  package mutating func append(_ other: SampleSet) {
    var taken = Set(samples.map(\.id))
    for var sample in other.samples {
      let id = sample.id
      var number = 2
      while !taken.insert(sample.id).inserted {
        sample.id = "\(id) (\(number))"
        number += 1
      }
      samples.append(sample)
    }
    refused += other.refused
  }

  /// Moves every sample with this id to the refused, as when its image cannot be decoded.
  package mutating func refuse(id: String, reason: String) {
    samples.removeAll { $0.id == id }
    refused.append(RefusedSample(id: id, reason: reason))
  }
}

extension SampleReader {
  /// Reads a file that lists samples; one that is no list is passed over.
  fileprivate mutating func readList(_ place: SamplePlace) throws(InputError) {
    let file = try ListFile(place.path)
    try ListLayout.of(file)?.read(file, place, &self)
  }

  /// Reads what lies in a folder itself, and gives the sub-folders that do not belong to it.
  fileprivate mutating func readFolder(_ place: SamplePlace) throws(InputError) -> [String] {
    let layout = FolderLayout.all.first { $0.recognizes(place) }
    try layout?.read(place, &self)
    return place.subfolders.filter { layout?.ownsSubfolder($0) != true }
  }

  /// Reads a task's folder.  One that holds no samples is passed over, but samples deeper inside
  /// it are not dropped in silence.
  fileprivate mutating func readTask(_ place: SamplePlace) throws(InputError) {
    for folder in try readFolder(place) {
      refuse(place.id(folder), "a folder inside a task's folder is not read")
    }
  }
}
