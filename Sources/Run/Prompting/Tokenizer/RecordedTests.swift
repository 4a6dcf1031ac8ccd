package import Architecture
package import TensorCore

extension TokenizerModel {
  /// The same model with `tests` filled: texts that have shown differences between tokenizers
  /// (digits, accents, emoji, spaces, scripts, special tokens) and the ids that `Tokenizer` gives.
  ///
  /// They are regression vectors: they prove that a later reader encodes as the converter did.
  package func recordingTests() throws(InputError) -> TokenizerModel {
    let tokenizer = try Tokenizer(self)
    var texts = [
      "", " ", "Hello, world!", " two  spaces and three   ", "In 1999, 3.14159 or 1000000?",
      "I'm sure they'll SAY: \"DON'T\"", "café, naïve, Ångström",
      "cafe\u{301} A\u{30A}ngstro\u{308}m",
      "你好，世界。図をみて", "Что на картинке?", "🙂👩‍👩‍👧 🇨🇭", "tab\tline\nCRLF\r\n\n  end",
      "def f(x):\n    return x ** 2\n", "\u{2581}a\u{A0}b\u{3000}c\u{200D}",
    ]
    let specials = pieces.filter { $0.kind == .control }.prefix(3)
    let names = specials.compactMap { String(validating: $0.bytes, as: UTF8.self) }
    if !names.isEmpty { texts.append("a" + names.joined(separator: " b") + "\nc ") }
    var model = self
    model.tests = texts.map { TestVector(text: $0, ids: tokenizer.encode($0).map(Int.init)) }
    return model
  }
}

extension Tokenizer {
  /// The first of the model's recorded tests that this tokenizer encodes differently.
  package func firstFailedTest() -> TokenizerModel.TestVector? {
    model.tests.first { $0.ids != encode($0.text).map(Int.init) }
  }
}
