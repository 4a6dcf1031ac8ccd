import Prompting
import TensorCore

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
  ///
  /// - Parameter place: whose task the sample has, unless its description says another.
  mutating func add(
    _ id: String, in place: SamplePlace, _ make: () throws(InputError) -> SampleDescription
  ) {
    do throws(InputError) {
      let description = try make()
      guard let question = description.question ?? defaultQuestion else {
        throw InputError(id, "has no question, and there is no default")
      }
      samples.append(
        Sample(
          id: id, task: description.task.map(place.task(of:)) ?? place.task,
          images: description.images, question: question, answer: description.answer, isRaw: isRaw))
    } catch {
      refuse(id, error.problem)
    }
  }
}

/// What a layout knows of one sample.
struct SampleDescription {
  var images: [ImageSource]
  var question: String?
  var answer: String?
  /// The task within the set, such as a category.
  var task: String?

  /// Takes question and answer from what lies beside an image: its JSON, and else a question from
  /// its text, which is read only then.
  mutating func take(
    _ fields: SampleFields?, elseQuestion text: () throws(InputError) -> String?
  ) throws(InputError) {
    question = try fields?.question
    answer = try fields?.answer
    guard question == nil, let text = try text() else { return }
    // Tools that write a caption to both mean no question.
    if text != answer { question = text }
  }
}
