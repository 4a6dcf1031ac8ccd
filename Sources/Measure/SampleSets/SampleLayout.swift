import TensorCore

/// One way in which people keep samples; a new one is a file with such a value and a row in `all`.
struct SampleLayout: Sendable {
  /// What it looks like, for the message when no layout fits.
  let summary: String
  /// Whether what lies in sub-folders belongs to this layout's own samples.
  let describesSubfolders: Bool
  let recognizes: @Sendable (SamplePlace) -> Bool
  /// Reads all samples of a place that is recognised; what is wrong with one is a refusal, what is
  /// wrong with all an error.
  let read: @Sendable (SamplePlace, inout SampleReader) throws(InputError) -> Void

  /// The first that recognises a place reads it.
  static let all: [SampleLayout] = [.metadataLines, .imageFolder]
}

/// Caps on the files of a set, in bytes.
enum SampleLimits {
  /// A list of samples, such as a `metadata.jsonl`.
  static let list = 256 << 20
  /// What describes one sample: a line of such a list, or a file beside an image.
  static let sample = 1 << 20
  static let json = JSONLimits(
    byteCount: sample, depth: 64, valueCount: 100_000, stringByteCount: sample)
}

/// Gathers what a layout reads.
struct SampleReader {
  let defaultQuestion: String?
  let isRaw: Bool
  private(set) var samples: [Sample] = []
  private(set) var refused: [RefusedSample] = []

  init(defaultQuestion: String?, isRaw: Bool) {
    self.defaultQuestion = defaultQuestion
    self.isRaw = isRaw
  }

  mutating func refuse(_ id: String, _ reason: String) {
    refused.append(RefusedSample(id: id, reason: reason))
  }

  /// Adds the sample that `make` describes, or refuses it for the reason that `make` throws.
  mutating func add(
    _ id: String, task: String, _ make: () throws(InputError) -> SampleDescription
  ) {
    do throws(InputError) {
      let description = try make()
      guard let question = description.question ?? defaultQuestion else {
        throw InputError(id, "has no question, and there is no default")
      }
      samples.append(
        Sample(
          id: id, task: task, imagePaths: description.imagePaths, question: question,
          answer: description.answer, isRaw: isRaw))
    } catch {
      refuse(id, error.problem)
    }
  }
}

/// What a layout knows of one sample.
struct SampleDescription {
  var imagePaths: [String]
  var question: String?
  var answer: String?
}
