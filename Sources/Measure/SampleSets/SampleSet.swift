package import TensorCore

/// Samples in the layouts that people have, grouped by task; what could not be read is named.
///
/// A path is a folder of images, a folder with a `metadata.jsonl`, or such a file itself; what it
/// is shows in its content (`SampleLayout`).  The sub-folders of a folder are tasks of their own,
/// unless a `metadata.jsonl` beside them describes them.  Names sort by bytes, so a set reads the
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
  ///   - name: the task's name; nil takes the folder's own.  Sub-folders become "name/sub-folder"
  ///     if there is a name, else their own name.
  ///   - defaultQuestion: for samples that have none; nil refuses them.
  ///   - isRaw: whether questions are complete prompts.
  /// - Throws: `InputError` if nothing is there that can be read, or no sample is usable.
  package init(
    at path: String, name: String? = nil,
    defaultQuestion: String? = SampleSet.defaultQuestion, isRaw: Bool = false
  ) throws(InputError) {
    let root = try SamplePlace(at: path, task: name)
    var reader = SampleReader(defaultQuestion: defaultQuestion, isRaw: isRaw)
    let rootLayout = SampleLayout.all.first { $0.recognizes(root) }
    try rootLayout?.read(root, &reader)
    if rootLayout?.describesSubfolders != true {
      for folder in root.subfolders {
        let task = name.map { "\($0)/\(folder)" } ?? folder
        try reader.readTask(SamplePlace(at: root.path(folder), task: task))
      }
    }
    guard !reader.samples.isEmpty else {
      guard let first = reader.refused.first else {
        let layouts = SampleLayout.all.map(\.summary).joined(separator: ", or ")
        throw InputError(path, "holds no samples: expected \(layouts)")
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

  /// Takes in another set; tasks of the same name become one.
  package mutating func append(_ other: SampleSet) {
    samples += other.samples
    refused += other.refused
  }

  /// Moves every sample with this id to the refused, as when its image cannot be decoded.
  package mutating func refuse(id: String, reason: String) {
    samples.removeAll { $0.id == id }
    refused.append(RefusedSample(id: id, reason: reason))
  }
}

extension SampleReader {
  /// Reads a task's folder.  One that holds no samples is passed over, but samples deeper inside
  /// it are not dropped in silence.
  fileprivate mutating func readTask(_ place: SamplePlace) throws(InputError) {
    let layout = SampleLayout.all.first { $0.recognizes(place) }
    try layout?.read(place, &self)
    if layout?.describesSubfolders == true { return }
    for folder in place.subfolders {
      refuse(place.id(folder), "a folder inside a task's folder is not read")
    }
  }
}
