import Prompting
import SampleSets
import TensorCore
import TestSupport
import Testing

/// One broken sample among good ones, in every layout: it is named, and the others are read.
@Suite struct BadListTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.write("pixels", to: "t/1.png")
    try folder.makeFolder("t/images")
    try folder.write("pixels", to: "t/images/2.png")
  }

  private func reasons(_ text: String, _ name: String) throws -> [String] {
    try folder.write(text, to: "t/\(name)")
    return try SampleSet(at: folder.path("t/\(name)")).refused.map { "\($0.id): \($0.reason)" }
  }

  private func problem(_ bytes: [UInt8], _ name: String) throws -> String? {
    try folder.write(bytes, to: "t/\(name)")
    do {
      _ = try SampleSet(at: folder.path("t/\(name)"))
      return nil
    } catch {
      return error.problem
    }
  }

  // MARK: CSV

  @Test(arguments: [
    ("1.png,a,b,c", "has 4 cells; the table has 3 columns"),
    ("1.png,a", "has 2 cells; the table has 3 columns"),
    ("1.png,\"a\"b,c", "text after the quote that ends a cell"),
    ("1.png,a\"b,c", "a quote inside a cell that does not begin with one"),
    ("1.png,a\rb,c", "a carriage return inside a cell without quotes"),
    (",a,b", "has an empty file name"),
    ("3.png,a,b", "image '3.png' is not there"),
    ("../t/1.png,a,b", "image '../t/1.png' leads out of the folder"),
    ("/etc/hosts,a,b", "image '/etc/hosts' is an absolute path that lies outside the folder"),
    ("http://x/1.png,a,b", "image 'http://x/1.png' is a web address; nothing is downloaded"),
  ])
  func refusesABadRow(row: String, reason: String) throws {
    let good = "1.png,\"q\r\nr\",a"
    let found = try reasons("file_name,question,answer\r\n\(good)\r\n\(row)\r\n\(good)", "m.csv")
    #expect(found == ["t/m.csv:4: \(reason)"])
    #expect(
      try SampleSet(at: folder.path("t/m.csv")).samples.map(\.id) == ["t/m.csv:2", "t/m.csv:5"])
  }

  @Test func refusesTheRestBehindAQuoteThatDoesNotEnd() throws {
    #expect(
      try reasons("file_name,question\n1.png,q\n1.png,\"q\n1.png,q\n", "m.csv")
        == ["t/m.csv:3: a quote does not end"])
  }

  @Test func refusesATableWithoutNames() throws {
    try folder.write("file_name,q,q\n", to: "twice/metadata.csv")
    #expect(throws: InputError(folder.path("twice/metadata.csv"), "two columns are called 'q'")) {
      try SampleSet(at: folder.path("twice"))
    }
    try folder.write("name\n", to: "none/metadata.csv")
    #expect(throws: InputError(folder.path("none/metadata.csv"), "has no column 'file_name'")) {
      try SampleSet(at: folder.path("none"))
    }
  }

  @Test func readsBehindAByteOrderMark() throws {
    #expect(try reasons("\u{FEFF}file_name,question\n1.png,q\n", "m.csv") == [])
    #expect(try reasons("\u{FEFF}{\"file_name\": \"1.png\"}\n", "m.jsonl") == [])
  }

  @Test func acceptsAbsolutePathsInsideTheFolder() throws {
    let inside = folder.path("t/1.png")
    #expect(try reasons("file_name\n\(inside)\nfile://\(inside)\n", "m.csv") == [])
  }

  // MARK: LLaVA

  @Test(arguments: [
    (#"{"image": "1.png"}"#, "has no list 'conversations'"),
    (#"{"conversations": []}"#, "has no 'image'"),
    (#"{"image": "1.png", "conversations": []}"#, "the conversation does not begin with 'human'"),
    (
      #"{"image": "1.png", "conversations": [{"from": "gpt", "value": "A"}]}"#,
      "the conversation does not begin with 'human'"
    ),
    (
      #"{"image": "1.png", "conversations": [{"from": "human"}]}"#,
      "a conversation needs 'from' and 'value', both strings"
    ),
    (
      #"{"image": "1.png", "conversations": [{"from": "human", "value": "<image><image>"}]}"#,
      "the question has 2 <image> marks for 1 images"
    ),
    (
      #"{"image": ["1.png", "2.png"], "conversations": [{"from": "human", "value": "<image> or <image>?"}]}"#,
      "several images stand between the words of the question"
    ),
    (#"{"image": "3.png", "conversations": []}"#, "image '3.png' is not there"),
    (#"{"image": "1.png" "#, "not valid JSON at byte 18: ',' or '}' expected"),
    ("7", "an integer where an object is expected"),
  ])
  func refusesABadConversation(entry: String, reason: String) throws {
    let good = #"{"image": "2.png", "conversations": [{"from": "human", "value": "Q <image>"}]}"#
    #expect(
      try reasons("\(good)\n\(entry)\n\(good)\n", "c.jsonl") == ["t/c.jsonl:2: \(reason)"])
    guard entry.hasSuffix("}") else { return }
    #expect(try reasons("[\(good), \(entry),\n \(good)]", "c.json") == ["t/c.json:2: \(reason)"])
  }

  @Test(arguments: [
    ("", 1, "the array does not end"), (",]", 2, "an element is missing at byte "),
    ("] x", 2, "text after the end of the array at byte "),
    (",{\"image", 2, "the array does not end"),
  ])
  func readsAnArrayUpToItsMistake(end: String, count: Int, reason: String) throws {
    let good = #"{"image": "2.png", "conversations": [{"from": "human", "value": "Q <image>"}]}"#
    let found = try reasons("[\(good),\(good)\(end)", "c.json")
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix("t/c.json:\(count + 1): \(reason)") == true, "\(found)")
    #expect(try SampleSet(at: folder.path("t/c.json")).samples.count == count)
  }

  @Test(arguments: [
    (#"{"question_id": 1, "text": "Q"}"#, "has no 'image'"),
    (#"{"image": 1, "text": "Q"}"#, "'image' must be a file name or a list of them"),
    (#"{"image": "1.png", "text": 1}"#, "'text' is an integer; a string expected"),
    (
      #"{"image": "1.png", "text": "Q", "category": []}"#,
      "'category' is an array; a string expected"
    ),
  ])
  func refusesABadQuestion(line: String, reason: String) throws {
    let good = #"{"question_id": 0, "image": "1.png", "text": "Q", "category": 3}"#
    #expect(try reasons("\(good)\n\(line)\n", "q.jsonl") == ["t/q.jsonl:2: \(reason)"])
    #expect(try SampleSet(at: folder.path("t/q.jsonl")).tasks == ["3"])
  }

  // MARK: VLMEvalKit

  private static let pixels = String(repeating: "AAAA", count: 20)

  @Test(arguments: [
    ("1\t\tq", "has no image"), ("1\t9\tq", "its image is that of row '9', which is not there"),
    ("1\t1\tq", "its image is that of row '1', which has none"),
    ("1\t\(pixels)A\tq", "image 1 is not base64: 81 characters, not a multiple of four"),
    ("1\t\(pixels)A-AA\tq", "image 1 is not base64: byte 45 at character 82"),
    ("1\t['\(pixels)\tq", "its images are no list of base64 texts"),
    ("1\t\(pixels)", "has 2 cells; the table has 3 columns"),
  ])
  func refusesABadTableRow(row: String, reason: String) throws {
    let text = "index\timage\tquestion\n0\t\(Self.pixels)\t5\" or 6\"?\n\(row)\n"
    #expect(try reasons(text, "v.tsv") == ["t/v.tsv:3: \(reason)"])
    #expect(try SampleSet(at: folder.path("t/v.tsv")).samples.map(\.question) == ["5\" or 6\"?"])
  }

  @Test func readsPathsWhereThereIsNoImageColumn() throws {
    let text =
      "index\timage_path\tquestion\n0\t1.png\tq\n1\t['1.png', '2.png']\tq\n2\t['3.png']\tq\n"
    #expect(try reasons(text, "v.tsv") == ["t/v.tsv:4: image '3.png' is not there"])
    #expect(try SampleSet(at: folder.path("t/v.tsv")).samples.map(\.images.count) == [1, 2])
  }

  // MARK: MME

  @Test func refusesABadMMELine() throws {
    for name in ["a", "b", "c"] { try folder.write("pixels", to: "m/OCR/\(name).jpg") }
    try folder.write("Is it?\tYes\nIs it not?\tNo\n", to: "m/OCR/a.txt")
    try folder.write("Is it?\tmaybe\n\nno tab\nYes?\tyes\n", to: "m/OCR/b.txt")
    let set = try SampleSet(at: folder.path("m"))
    #expect(set.samples.map(\.id) == ["OCR/a.txt:1", "OCR/a.txt:2", "OCR/b.txt:4"])
    let reason = "a question, a tab, and Yes or No are expected"
    #expect(
      set.refused == [
        RefusedSample(id: "OCR/b.txt:1", reason: reason),
        RefusedSample(id: "OCR/b.txt:3", reason: reason),
        RefusedSample(id: "OCR/c.jpg", reason: "has no questions beside it"),
      ])
  }

  // MARK: Messages

  @Test(arguments: [
    (#"{"messages": {}}"#, "has no list 'messages'"),
    (#"{"messages": []}"#, "the messages do not begin with one of role 'user'"),
    (
      #"{"messages": [{"role": "user"}]}"#,
      "a message needs 'content', a text or a list of parts"
    ),
    (#"{"messages": [{"role": "user", "content": "Q"}]}"#, "the first question has no image"),
    (
      #"{"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}"#,
      "a message has a part 'input_audio'; 'text' and 'image_url' are read"
    ),
    (
      #"{"messages": [{"role": "user", "content": [{"image_url": {"url": "https://x/y.png"}}]}]}"#,
      "image 'https://x/y.png' is a web address; nothing is downloaded"
    ),
    (
      #"{"messages": [{"role": "user", "content": [{"image_url": "data:image/png;base64,A?=="}]}]}"#,
      "a data URI is not base64: byte 63 at character 2"
    ),
    (
      #"{"messages": [{"role": "user", "content": [{"image_url": "data:image/png;base64,"}]}]}"#,
      "a data URI holds no image"
    ),
    (
      #"{"messages": [{"role": "user", "content": [{"image_url": "data:text/plain,A"}]}]}"#,
      "a data URI is of 'text/plain'; 'image/…;base64' is read"
    ),
    (
      #"{"messages": [{"role": "user", "content": [{"image_url": "1.png"}, {"text": "or"}, {"image_url": "1.png"}, {"text": "?"}]}]}"#,
      "several images stand between the words of the question"
    ),
  ])
  func refusesABadConversationOfMessages(line: String, reason: String) throws {
    let good = #"{"messages": [{"role": "user", "content": [{"image_url": "1.png"}]}]}"#
    #expect(try reasons("\(good)\n\(line)\n", "o.jsonl") == ["t/o.jsonl:2: \(reason)"])
  }

  // MARK: Nothing that can be read

  @Test func saysThatAnArchiveIsCompressed() throws {
    #expect(
      try problem([0x1F, 0x8B, 8, 0, 0, 0, 0, 0], "a.tar.gz")
        == "is compressed with gzip; unpack the tar archive first")
  }

  @Test(arguments: ["", "[", "[]", "{", "[{}]", "a,b\n1,2\n", "a\tb\n", "\u{0}\u{1}", "\"", "[[[["])
  func findsNoSamplesInOtherFiles(text: String) throws {
    #expect(try problem(Array(text.utf8), "x.json") != nil)
  }
}
