package import Architecture
package import TensorCore

/// Writes out a conversation by its template and encodes it; each image is one row, its placeholder,
/// until it is known how many it gives (`ModelInput.expanded`).
///
/// The whole text of a turn is encoded at once, so pieces may span the template and the question
/// just as they did in training.
package struct PromptEncoder: Sendable {
  private let tokenizer: Tokenizer
  private let template: PromptTemplate
  private let imageTokenID: Int32?
  /// What stands for a video in some vocabularies.
  private let videoTokenID: Int32?

  /// - Parameters:
  ///   - imageTokenID: what the rows of an image are written as; nil if the model reads none.  The
  ///     template's placeholder means this id even where the vocabulary does not have it.
  package init(tokenizer: Tokenizer, template: PromptTemplate, imageTokenID: Int32?) {
    self.tokenizer =
      imageTokenID.map {
        tokenizer.recognizing(template.imagePlaceholder, as: $0)
      } ?? tokenizer
    self.template = template
    self.imageTokenID = imageTokenID
    videoTokenID = tokenizer.model.pieces.firstIndex {
      $0.kind == .control && $0.bytes.elementsEqual(Self.videoPlaceholder.utf8)
    }.map(Int32.init)
  }

  private static let videoPlaceholder = "<video>"

  /// An encoder for the model that `configuration` describes.
  package init(
    tokenizer: Tokenizer, template: PromptTemplate, configuration: ModelConfiguration
  ) {
    self.init(
      tokenizer: tokenizer, template: template,
      imageTokenID: configuration.imageTokenID.map(Int32.init))
  }

  /// Encodes `text` as it is; the placeholder marks where an image goes.
  ///
  /// Text before the first image is of class system, other text of class user; without an image
  /// all of it is of class user.
  ///
  /// - Throws: `InputError` unless `text` has exactly `imageCount` marks.
  package func raw(_ text: String, imageCount: Int) throws(InputError) -> ModelInput {
    let tokens = tokenizer.tokens(in: text, addsBOS: addsBOS)
    let firstImage = tokens.firstIndex { $0.id == imageTokenID } ?? 0
    let input = try input(tokens, systemCount: firstImage)
    guard input.imageCount == imageCount else {
      let mark = printable(template.imagePlaceholder)
      if imageTokenID == nil { throw InputError("", "this model reads no images") }
      if input.imageCount == 0 {
        throw InputError(
          "",
          "the prompt does not say where its \(counted(imageCount, "image")) should go: "
            + "put '\(mark)' there, once per image")
      }
      throw InputError(
        "",
        "the prompt has \(counted(input.imageCount, "mark")) '\(mark)', but "
          + "\(counted(imageCount, "image")) \(imageCount == 1 ? "was" : "were") given")
    }
    return input
  }

  /// The prompt of a conversation that begins with `question` and the images before it.
  ///
  /// BOS and the template's opening are of class system; a piece that reaches beyond the opening is
  /// of class user.
  ///
  /// - Throws: `InputError` if the question contains the placeholder, which would be taken for an
  ///   image, or if there are images for a model that reads none.
  package func firstTurn(question: String, imageCount: Int) throws(InputError) -> ModelInput {
    let text = template.opening + (try userTurn(question, imageCount))
    let tokens = tokenizer.tokens(in: text, addsBOS: addsBOS)
    let openingEnd = template.opening.utf8.count
    return try checked(
      try input(tokens, systemCount: tokens.prefix { $0.end <= openingEnd }.count), imageCount)
  }

  /// What follows an answer when a further question is asked: the end of that answer, then the new
  /// turn, all of class user.
  ///
  /// It goes on behind the answer's own rows.  The id that ended the answer is part of it where the
  /// template writes one, so it must not have been given to the decoder before.
  ///
  /// - Throws: as `firstTurn`.
  package func nextTurn(question: String, imageCount: Int) throws(InputError) -> ModelInput {
    let text = template.assistantEnd + (try userTurn(question, imageCount))
    return try checked(
      try input(tokenizer.tokens(in: text, continues: true), systemCount: 0), imageCount)
  }

  /// The ids with which the model would begin the answer `text`, without an end.
  ///
  /// A space goes before it where the template's last word is not followed by white space:
  /// "ASSISTANT:" is answered " a cat".
  package func answer(_ text: String) -> [Int32] {
    let needsSpace =
      template.assistantStart.unicodeScalars.last
      .map { !$0.properties.isWhitespace } ?? false
    return tokenizer.tokens(in: needsSpace ? " " + text : text, continues: true).map(\.id)
  }

  private var addsBOS: Bool { tokenizer.model.flags.contains(.addsBOS) }

  private func userTurn(_ question: String, _ imageCount: Int) throws(InputError) -> String {
    guard imageCount == 0 || imageTokenID != nil else {
      throw InputError("", "this model reads no images")
    }
    let images = String(repeating: template.image, count: imageCount)
    return template.userStart + images + template.questionStart + question + template.userEnd
      + template.assistantStart
  }

  private func checked(_ input: ModelInput, _ imageCount: Int) throws(InputError) -> ModelInput {
    guard input.imageCount == imageCount else {
      throw InputError(
        "",
        "the question contains '\(printable(template.imagePlaceholder))', which stands for an "
          + "image: leave it out, or write the whole prompt yourself as raw text")
    }
    return input
  }

  /// Gives classes; the first `systemCount` tokens are system rows.
  private func input(
    _ tokens: [Tokenizer.Token], systemCount: Int
  ) throws(InputError) -> ModelInput {
    guard videoTokenID == nil || !tokens.contains(where: { $0.id == videoTokenID }) else {
      throw InputError(
        "",
        "the prompt has '\(Self.videoPlaceholder)', which stands for a video: only images are "
          + "supported")
    }
    var input = ModelInput(ids: [], classes: [], imageCount: 0, imageRanges: [])
    for (index, token) in tokens.enumerated() {
      let isImage = token.id == imageTokenID
      input.ids.append(token.id)
      input.classes.append(isImage ? .visual : index < systemCount ? .system : .user)
      if isImage {
        input.imageRanges.append(index..<index + 1)
        input.imageCount += 1
      }
    }
    return input
  }
}

/// "1 image", "2 images".
private func counted(_ count: Int, _ noun: String) -> String {
  "\(count) \(noun)\(count == 1 ? "" : "s")"
}
