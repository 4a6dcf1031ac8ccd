import TensorCore
import Testing

@Suite struct JSONParserTests {
  private static let limits = JSONLimits(
    byteCount: 1 << 26, depth: 16, valueCount: 1_000_000, stringByteCount: 1 << 20)

  private func parse(
    _ text: String, limits: JSONLimits = limits
  ) throws(JSONError) -> JSONValue {
    try JSONValue(parsing: Array(text.utf8), limits: limits)
  }

  // MARK: What is accepted

  @Test(
    arguments: [
      ("null", nil), ("true", true), ("false", false), ("\"\"", ""), ("[]", []), ("{}", [:]),
      (" \t\r\n{ \"a\" : [ 1 , { } , [ ] ] } \n", ["a": [1, [:], []]]),
      (#"{"a":{"b":{"c":null}},"d":""}"#, ["a": ["b": ["c": nil]], "d": ""]),
      ("[[1],[2,[3]],4]", [[1], [2, [3]], 4]),
    ] as [(String, JSONValue)])
  func readsDocuments(text: String, value: JSONValue) throws {
    #expect(try parse(text) == value)
  }

  @Test(
    arguments: [
      ("0", .integer(0)), ("-0", .integer(0)), ("-17", .integer(-17)),
      ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
      // Beyond an Int a whole number is only a number.
      ("9223372036854775808", .number(0x1p63)), ("1e2", .number(100)), ("1E+2", .number(100)),
      ("32.0", .number(32)), ("-0.0", .number(-0.0)), ("1.5e-3", .number(0.0015)),
      ("0e7", .number(0)), ("1e-400", .number(0)), ("0.1", .number(0.1)),
      ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)),
      ("5e-324", .number(.leastNonzeroMagnitude)),
    ] as [(String, JSONValue)])
  func readsNumbers(text: String, value: JSONValue) throws {
    #expect(try parse(text) == value)
  }

  @Test(arguments: [
    (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u4E2D""#, "Aé中"),
    (#""\u0000""#, "\u{0}"), (#""\ud83d\uDE00""#, "😀"), (#""\uDBFF\uDFFF""#, "\u{10FFFF}"),
    ("\"é中😀\u{7F}\u{2028}\"", "é中😀\u{7F}\u{2028}"), (#""\uD7FF\uE000""#, "\u{D7FF}\u{E000}"),
  ])
  func readsStrings(text: String, value: String) throws {
    #expect(try parse(text).stringValue.map { Array($0.utf8) } == Array(value.utf8))
  }

  @Test func keepsMembersInTheOrderOfTheDocument() throws {
    let object = try #require(try parse(#"{"z":1,"a":2,"m":3}"#).objectValue)
    #expect(object.members.map(\.key) == ["z", "a", "m"])
  }

  @Test func takesKeysOfDifferentBytesForDifferentKeys() throws {
    // é composed and decomposed: equal for Swift, two keys for a vocabulary.
    let object = try #require(try parse("{\"\u{E9}\":1,\"e\u{301}\":2}").objectValue)
    #expect(object.members.count == 2)
    #expect(object["\u{E9}"] == 1)
    #expect(object["e\u{301}"] == 2)
  }

  // MARK: What is refused

  @Test(arguments: [
    "", " ", "\u{FEFF}{}", "{} {}", "[] x", "1 2", "nul", "nulls", "True", "NaN", "Infinity", "-",
    "+1", "01", "-01", "1.", ".5", "1.e3", "1e", "1e+", "0x10", "1_000", "--1", "1e400", "-1e400",
    "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1}", "{]", "{\"a\"",
    "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{\"a\":1 \"b\":2}",
    "{a:1}", "{'a':1}", "{1:2}", "{null:1}", "{\"a\":}", "{\"a\":1]", "'a'", "\"", "\"a", "\"\\",
    "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\U0041\"", "\"\\'\"", "\"a\nb\"",
    "\"a\tb\"", "\"\u{0}\"", "// c\n1", "/* c */ 1", "[1]#", "\u{A0}1", "\u{B}1", "\u{C}1",
    // Halves of surrogate pairs.
    #""\ud800""#, #""\ud800x""#, #""\ud800\n""#, #""\ud800\u0041""#, #""\udc00""#,
    #""\udc00\ud800""#, #""\ud800\ud800""#,
    // Duplicates, however they are written.
    #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"[{"x":{"":1,"":2}}]"#,
  ])
  func refuses(text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test(
    arguments: [
      [0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xC0, 0x80, 0x22],
      // An encoded surrogate, a code beyond Unicode, a cut sequence in a key.
      [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
      [0x7B, 0x22, 0xE2, 0x82, 0x22, 0x3A, 0x31, 0x7D],
    ] as [[UInt8]])
  func refusesStringsThatAreNotUTF8(bytes: [UInt8]) {
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: bytes, limits: Self.limits)
    }
    #expect(error?.problem == "a string is not UTF-8")
  }

  @Test(arguments: [
    ("", 0, "the document ends too early"), ("{\"a\":1,}", 7, "a key in quotes expected"),
    ("[1,]", 3, "a value expected"), ("[1 2]", 3, "',' or ']' expected"),
    ("{\"a\" 1}", 5, "':' expected"), ("[] x", 3, "text after the end of the document"),
    ("[1e999]", 1, "number 1e999 is out of range"),
    ("\"a\u{1}\"", 2, "a control character in a string"),
    ("\"abc", 4, "a string does not end"), (#""\q""#, 2, "an unknown escape in a string"),
    ("\u{FEFF}{}", 0, "a byte order mark before the document"),
  ])
  func saysWhereAndWhy(text: String, offset: Int, problem: String) {
    let error = #expect(throws: JSONError.self) { try parse(text) }
    #expect(error?.offset == offset)
    #expect(error?.problem == problem)
  }

  @Test func namesTheFile() {
    let error = #expect(throws: InputError.self) {
      try JSONValue(parsing: Array("{\"a\":tru}".utf8), file: "config.json")
    }
    #expect(error?.description == "config.json: not valid JSON at byte 8: a value expected")
  }

  @Test func refusesEveryTruncationOfADocument() throws {
    let text = #"{"a":[1,-2.5e3,"x\u00e9\n",true,false,null],"b":{"c":{}}}"#
    _ = try parse(text)
    for length in 0..<text.utf8.count {
      #expect(throws: JSONError.self, "the first \(length) bytes") {
        try JSONValue(parsing: Array(text.utf8.prefix(length)), limits: Self.limits)
      }
    }
  }

  // MARK: Limits

  @Test func keepsTheByteLimit() throws {
    var limits = Self.limits
    limits.byteCount = 5
    #expect(try parse("[1,2]", limits: limits) == [1, 2])
    #expect(throws: JSONError.self) { try parse("[1, 2]", limits: limits) }
  }

  @Test func keepsTheDepthLimit() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[{\"a\":", count: depth / 2) + "[1]"
        + String(repeating: "}]", count: depth / 2)
    }
    _ = try parse(nested(14))
    #expect(throws: JSONError.self) { try parse(nested(16)) }
    let error = #expect(throws: JSONError.self) {
      try parse(String(repeating: "[", count: 1_000_000))
    }
    #expect(error?.offset == 17)
    #expect(error?.problem == "nested deeper than 16")
  }

  @Test func keepsTheValueLimit() throws {
    var limits = Self.limits
    limits.valueCount = 4
    _ = try parse("[1,[2]]", limits: limits)
    #expect(throws: JSONError.self) { try parse("[1,[2,3]]", limits: limits) }
  }

  @Test func keepsTheMemberLimit() throws {
    var limits = Self.limits
    limits.memberCount = 2
    _ = try parse(#"{"a":{"c":1,"d":2},"b":[3,4,5]}"#, limits: limits)
    for text in [#"{"a":1,"b":2,"c":3}"#, #"[{"a":{},"b":{"c":1,"d":2,"e":3}}]"#] {
      let error = #expect(throws: JSONError.self) { try parse(text, limits: limits) }
      #expect(error?.problem == "an object has more than 2 members")
    }
  }

  @Test func keepsTheStringLimit() throws {
    var limits = Self.limits
    limits.stringByteCount = 3
    _ = try parse(#"{"abc":"\u4e2d"}"#, limits: limits)
    #expect(throws: JSONError.self) { try parse("\"abcd\"", limits: limits) }
    #expect(throws: JSONError.self) { try parse("{\"abcd\":1}", limits: limits) }
    #expect(throws: JSONError.self) { try parse(#""\u4e2dx""#, limits: limits) }
  }

  // MARK: Size

  @Test(
    .serialized,
    // A second or two; several minutes if it were quadratic.
    .timeLimit(.minutes(1)),
    arguments: [
      ("1", 400_000), ("\"value\"", 400_000), ("[1,2]", 100_000), ("{\"x\":{\"y\":2}}", 100_000),
    ])
  func readsManyMembersInLinearTime(value: String, count: Int) throws {
    var text = "{"
    for index in 0..<count { text += "\"key.\(index)\":\(value)," }
    text += "\"last\":1}"
    let bytes = Array(text.utf8)
    let parsed = try JSONValue(parsing: bytes, limits: .configuration)
    #expect(parsed.objectValue?.members.count == count + 1)
    #expect(parsed["key.\(count - 1)"] == (try parse(value)))
  }

  @Test func readsALongStringInLinearTime() throws {
    let text = "\"" + String(repeating: "\\u00e9 \\n", count: 100_000) + "\""
    #expect(try parse(text).stringValue?.unicodeScalars.count == 300_000)
  }
}
