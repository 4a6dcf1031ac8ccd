import TensorCore
import Testing

@Suite struct JSONWriterTests {
  private func reread(_ text: String) throws -> JSONValue {
    try JSONValue(parsing: Array(text.utf8), limits: .configuration)
  }

  @Test func sortsMembersByBytesInCanonicalText() {
    let value: JSONValue = ["b": 1, "a": ["d": nil, "C": true], "é": 2, "Z": [], "": [:]]
    #expect(value.canonicalText == #"{"":{},"Z":[],"a":{"C":true,"d":null},"b":1,"é":2}"#)
  }

  @Test func keepsTheOrderOfMembersInPlainText() {
    let value: JSONValue = ["b": 1, "a": [1.5, "x", false]]
    #expect(value.text == #"{"b":1,"a":[1.5,"x",false]}"#)
  }

  @Test func givesTheSameCanonicalTextForEveryOrderOfMembers() throws {
    let a = try reread(#"{ "x": 1.50, "y": {"p": 1e2, "q": "\u0041"} }"#)
    let b = try reread(#"{"y":{"q":"A","p":100.0},"x":1.5}"#)
    #expect(a.canonicalText == b.canonicalText)
    #expect(a.canonicalText == #"{"x":1.5,"y":{"p":100.0,"q":"A"}}"#)
  }

  @Test(arguments: [
    0, -0.0, 0.1, 1.0 / 3, 3, -1e16, 1e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
    0x1p63, 123456.789,
  ])
  func writesNumbersThatReadBackEqual(number: Double) throws {
    let text = JSONValue.number(number).canonicalText
    #expect(try reread(text) == .number(number))
    #expect(try reread(text).doubleValue?.sign == number.sign)
  }

  @Test(arguments: [0, -1, .max, .min])
  func writesIntegersThatReadBackEqual(integer: Int) throws {
    #expect(try reread(JSONValue.integer(integer).canonicalText) == .integer(integer))
  }

  @Test func escapesWhatStringsMustNotHold() throws {
    let text = "\"\\/\u{0}\u{8}\n\u{1F}\u{7F}\u{2028}é😀"
    let written = JSONValue.string(text).canonicalText
    #expect(written == #""\"\\/\u0000\u0008\u000a\u001f\u007f"# + "\u{2028}é😀\"")
    #expect(try reread(written) == .string(text))
    let keyed = JSONValue.object(JSONObject([(text, 1)])).canonicalText
    #expect(try reread(keyed)[text] == 1)
  }

  @Test func writesOneLineWithoutSpaces() {
    let value: JSONValue = ["a": [1, 2, ["b": "line\nbreak"]], "c": nil]
    #expect(!value.text.contains("\n"))
    #expect(!value.text.contains(" "))
  }
}
