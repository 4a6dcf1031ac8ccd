import Prompting
import TensorCore

extension FolderLayout {
  /// One task of MME: images with a text of the same name, whose lines are a question, a tab, and
  /// `Yes` or `No`.  Both lie in the folder itself, or in `images` and `questions_answers_YN`.
  static let mmeFolder = FolderLayout(
    summary: "MME's folders of images and yes-or-no questions",
    ownsSubfolder: MMEFolder.parts.contains,
    recognizes: { place in MMEFolder(place)?.isRecognized == true },
    read: { (place, reader) throws(InputError) in
      guard let folder = MMEFolder(place) else { return }
      for (image, questions) in folder.pairs {
        guard let questions else {
          reader.refuse(place.id(image), "has no questions beside it")
          continue
        }
        let found: [(number: Int, result: Result<MMEFolder.Question, InputError>)]
        do throws(InputError) {
          found = try MMEFolder.questions(at: place.path(questions))
        } catch {
          reader.refuse(place.id(questions), error.problem)
          continue
        }
        for (number, result) in found {
          reader.add(place.id("\(questions):\(number)"), in: place) { () throws(InputError) in
            let question = try result.get()
            return SampleDescription(
              images: [try place.image(image)], question: question.text, answer: question.answer)
          }
        }
      }
    })
}

private struct MMEFolder {
  struct Question {
    var text: String
    var answer: String
  }

  static let parts = ["images", "questions_answers_YN"]

  /// Images, each with the file of its questions, relative to the place.
  let pairs: [(image: String, questions: String?)]
  /// Whether the first image that has questions has MME's.
  let isRecognized: Bool

  init?(_ place: SamplePlace) {
    let isSplit = Self.parts.allSatisfy { part in
      place.names.contains(part) && PathKind(of: place.path(part)) == .folder
    }
    let images = isSplit ? "images/" : ""
    let texts = isSplit ? "questions_answers_YN/" : ""
    let imageNames = isSplit ? Self.names(place, "images") : place.names
    let textNames = Set(isSplit ? Self.names(place, "questions_answers_YN") : place.names)
    pairs = imageNames.compactMap { name in
      guard let image = ImageName(name) else { return nil }
      let text = image.stem + ".txt"
      return (images + name, textNames.contains(text) ? texts + text : nil)
    }
    guard let first = pairs.lazy.compactMap(\.questions).first else { return nil }
    let questions = (try? Self.questions(at: place.path(first))) ?? []
    isRecognized =
      !questions.isEmpty
      && questions.allSatisfy { if case .success = $0.result { true } else { false } }
  }

  private static func names(_ place: SamplePlace, _ folder: String) -> [String] {
    ((try? folderEntries(at: place.path(folder))) ?? []).filter { !$0.hasPrefix(".") }
  }

  /// The lines of a file that are not blank.
  static func questions(
    at path: String
  ) throws(InputError) -> [(number: Int, result: Result<Question, InputError>)] {
    guard
      let text = String(
        validating: try fileBytes(at: path, limit: SampleLimits.sample), as: UTF8.self)
    else { throw InputError(path, "is not UTF-8") }
    return text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated()
      .filter { !isBlank($0.element) }
      .map { (number, line) in
        let cells = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard cells.count == 2, !isBlank(cells[0]),
          ["yes", "no"].contains(trimmed(cells[1]).lowercased())
        else {
          return (
            number + 1, .failure(InputError("", "a question, a tab, and Yes or No are expected"))
          )
        }
        return (number + 1, .success(Question(text: trimmed(cells[0]), answer: trimmed(cells[1]))))
      }
  }
}
