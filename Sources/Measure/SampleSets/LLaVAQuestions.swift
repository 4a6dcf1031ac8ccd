import TensorCore

extension ListLayout {
  /// LLaVA's evaluation questions, one object per line: `question_id`, `image`, `text`, and
  /// `category`, which is the task.  `answer` counts where there is one.
  static let questions = ListLayout(
    summary: "LLaVA question JSONL",
    recognizes: { file in
      guard let first = file.firstObject, first["image"] != nil else { return false }
      return ["question", "prompt", "text"].contains { first[$0]?.stringValue != nil }
    },
    read: { (file, place, reader) throws(InputError) in
      file.forEachObject(of: place, into: &reader) { (fields) throws(InputError) in
        let images = try place.images(try fields.imageNames, orIn: "images")
        let question = try fields.question
        return SampleDescription(
          images: images,
          question: try question.map { (text) throws(InputError) in
            try ImageMarks.removed(from: text, imageCount: images.count)
          },
          answer: try fields.answer, task: try fields.category)
      }
    })
}
