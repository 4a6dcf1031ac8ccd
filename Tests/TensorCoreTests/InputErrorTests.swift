import TensorCore
import Testing

@Suite struct InputErrorTests {
  @Test func isOneLineThatNamesTheFile() {
    #expect(InputError("a/b.json", "is broken").description == "a/b.json: is broken")
    #expect(InputError("", "is broken").description == "is broken")
    #expect(InputError("a\nb\u{1B}[31m", "x").description == "a\\u{a}b\\u{1b}[31m: x")
  }

  /// Paths into a cache of models are long, and the name comes last.
  @Test func longPathsAreWhole() {
    let path = String(repeating: "folder/", count: 100) + "name.json"
    #expect(InputError(path, "x").description == "\(path): x")
  }

  @Test func placesThatCannotBeWrittenAreNoInputs() {
    let error = InputError.unwritable("a", 28)
    #expect(error.isOutput && error.description == "a: cannot be written: No space left on device")
    #expect(!InputError("a", "x").isOutput)
  }

  @Test(arguments: [
    ("plain ascii, é, 中文, 😀", "plain ascii, é, 中文, 😀"), ("", ""),
    ("a\tb\r\nc", "a\\u{9}b\\u{d}\\u{a}c"),
    ("\u{0}\u{7F}\u{9B}", "\\u{0}\\u{7f}\\u{9b}"),
    // Marks that turn the direction of text, join it or hide in it.
    ("\u{202E}gpj\u{2066}", "\\u{202e}gpj\\u{2066}"), ("\u{200B}\u{FEFF}", "\\u{200b}\\u{feff}"),
    ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"), ("\u{E000}\u{FFFF}", "\\u{e000}\\u{ffff}"),
  ])
  func escapesWhatATerminalWouldObey(text: String, shown: String) {
    #expect(printable(text) == shown)
  }

  @Test func cutsLongText() {
    #expect(printable("abcdef", limit: 6) == "abcdef")
    #expect(printable("abcdefg", limit: 6) == "abcdef…")
    #expect(printable(String(repeating: "x", count: 1_000_000)).count == 121)
    #expect(printable("abc", limit: 0) == "…")
  }
}
