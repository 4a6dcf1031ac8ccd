import Architecture
import Prompting
import TensorCore

/// Texts and their ids, kept in the file so that a later reader can prove its tokenizer.
enum TokenizerVectors {
  // Digits, accents, scripts, emoji, white space, contractions, and what looks like a special token.
  private static let texts = [
    "Hello, world!", " leading and  double spaces ", "The year 2024: 3.14159, 1,000,000.",
    "naïve café, Ærøskøbing", "你好,世界", "こんにちは", "Привет, мир", "🙂👩‍👩‍👧 emoji", "tab\tand\nline",
    "it's we'll I'd", "<image>\nWhat is this?", "</s><s>[INST]", "x = f(a[0]) // comment", "",
  ]

  /// The vectors by our own encoding, which tests compare with the source's libraries.
  static func make(_ model: TokenizerModel) throws(InputError) -> [TokenizerModel.TestVector] {
    let tokenizer = try Tokenizer(model)
    return texts.map { text in
      TokenizerModel.TestVector(text: text, ids: tokenizer.encode(text).map(Int.init))
    }
  }
}
