import Prompting
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
      file.forEachEntry(of: place, into: &reader) { (entry) throws(InputError) in
        let fields = try SampleFields(
          parsing: try file.text(entry.range, limit: SampleLimits.sample))
        var images: [ImageSource] = []
        for name in try fields.imageNames {
          images.append(try place.image(name, orIn: "images"))
        }
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
