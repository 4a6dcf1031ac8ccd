import Prompting
import SampleSets
import TensorCore
import TestSupport
import Testing

@Suite struct DemoSetTests {
  private let taskNames = ["colors", "position", "read-all", "read-row", "relation", "search"]

  @Test(arguments: [("calib", 12), ("heldout", 16)])
  func readsEverySampleOfEveryTask(name: String, perTask: Int) throws {
    let set = try SampleSet(at: repositoryPath("tools/demo-llava/\(name)"))
    #expect(set.tasks == taskNames)
    #expect(set.refused.isEmpty)
    for task in taskNames { #expect(set.samples.count { $0.task == task } == perTask) }
  }

  @Test func keepsQuestionAnswerAndImage() throws {
    let folder = repositoryPath("tools/demo-llava/calib")
    let first = try #require(try SampleSet(at: folder).samples.first)
    #expect(
      first
        == Sample(
          id: "colors/metadata.jsonl:1", task: "colors",
          images: [ImageSource(path: "\(folder)/colors/000.png")],
          question: "What colors are in the top row?", answer: "green green green"))
  }
}

@Suite struct SampleSetTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Nothing is decoded here, so any bytes make an image.
  private func image(_ name: String) throws { try folder.write("pixels", to: name) }

  private func error(_ body: () throws(InputError) -> SampleSet) -> InputError? {
    do {
      _ = try body()
      return nil
    } catch {
      return error
    }
  }

  // MARK: Tasks

  @Test func takesSubfoldersForTasksInTheOrderOfTheirBytes() throws {
    for name in ["b/1.png", "Z/1.png", "a/2.jpg", "a/10.JPEG", "é/1.webp"] { try image(name) }
    let set = try SampleSet(at: folder.path)
    #expect(set.tasks == ["Z", "a", "b", "é"])
    #expect(set.samples.map(\.id) == ["Z/1.png", "a/10.JPEG", "a/2.jpg", "b/1.png", "é/1.webp"])
    #expect(set.samples[0].images == [ImageSource(path: "\(folder.path)/Z/1.png")])
  }

  @Test func namesTheFoldersOwnTaskAfterTheFolder() throws {
    try image("birds/1.png")
    try image("birds/more/2.png")
    let set = try SampleSet(at: folder.path("birds/"))
    #expect(set.tasks == ["birds", "more"])
    #expect(set.samples[0].images == [ImageSource(path: "\(folder.path)/birds/1.png")])
  }

  @Test func putsTheGivenNameBeforeSubfolders() throws {
    try image("birds/1.png")
    try image("birds/more/2.png")
    for argument in ["vqa=\(folder.path("birds"))", "vqa=\(folder.path("birds/"))"] {
      #expect(try SampleSet(argument: argument).tasks == ["vqa", "vqa/more"])
    }
    #expect(try SampleSet(at: folder.path("birds"), name: "x").samples[1].id == "x/more/2.png")
  }

  @Test func takesAnArgumentThatIsAPathForAPath() throws {
    try image("a=b/1.png")
    #expect(try SampleSet(argument: folder.path("a=b")).tasks == ["a=b"])
    #expect(try SampleSet(argument: "n=\(folder.path("a=b"))").tasks == ["n"])
  }

  @Test func passesOverHiddenAndOtherFiles() throws {
    for name in ["1.png", ".2.png", "README.md", "notes.txt", ".git/3.png", "docs/a.md"] {
      try image(name)
    }
    let set = try SampleSet(at: folder.path)
    #expect(set.samples.count == 1)
    #expect(set.refused.isEmpty)
  }

  @Test func refusesFoldersBelowTasks() throws {
    try image("a/1.png")
    try image("a/deep/2.png")
    #expect(
      try SampleSet(at: folder.path).refused
        == [RefusedSample(id: "a/deep", reason: "a folder inside a task's folder is not read")])
  }

  @Test func followsSymbolicLinks() throws {
    try image("store/1.png")
    try folder.makeFolder("set/task")
    try folder.link("set/task/linked.png", to: "../../store/1.png")
    try folder.link("set/other", to: "../store")
    let set = try SampleSet(at: folder.path("set"))
    #expect(set.samples.map(\.id) == ["other/1.png", "task/linked.png"])
  }

  @Test func becomesOneWithAnotherSet() throws {
    try image("x/a/1.png")
    try image("y/a/2.png")
    try image("y/b/3.gif")
    try image("y/b/4.png")
    var set = try SampleSet(at: folder.path("x"))
    set.append(try SampleSet(at: folder.path("y")))
    #expect(set.tasks == ["a", "b"])
    #expect(set.samples.count == 3)
    #expect(set.refused.count == 1)
  }

  @Test func movesASampleToTheRefused() throws {
    try image("a/1.png")
    try image("a/2.png")
    var set = try SampleSet(at: folder.path)
    set.refuse(id: "a/1.png", reason: "is not a PNG")
    #expect(set.samples.map(\.id) == ["a/2.png"])
    #expect(set.refused == [RefusedSample(id: "a/1.png", reason: "is not a PNG")])
  }

  // MARK: Folders of images

  @Test func findsQuestionsAndAnswersBesideImages() throws {
    for name in ["plain", "text", "json", "both", "blank", "marked"] { try image("t/\(name).png") }
    try folder.write("What is it?\r\n", to: "t/text.txt")
    try folder.write(#"{"prompt": "Who?", "answer": "Ada"}"#, to: "t/json.json")
    try folder.write(#"{"answer": 3}"#, to: "t/both.json")
    try folder.write("  How many? ", to: "t/both.txt")
    try folder.write("", to: "t/blank.txt")
    try folder.write([0xEF, 0xBB, 0xBF, 0x48, 0x69], to: "t/marked.txt")
    let set = try SampleSet(at: folder.path)
    #expect(set.refused.isEmpty)
    let found = Dictionary(uniqueKeysWithValues: set.samples.map { ($0.id, $0) })
    #expect(found["t/plain.png"]?.question == "Describe the image.")
    #expect(found["t/plain.png"]?.answer == nil)
    #expect(found["t/text.png"]?.question == "What is it?")
    #expect(found["t/json.png"]?.question == "Who?")
    #expect(found["t/json.png"]?.answer == "Ada")
    #expect(found["t/both.png"]?.question == "  How many? ")
    #expect(found["t/both.png"]?.answer == "3")
    #expect(found["t/blank.png"]?.question == "Describe the image.")
    #expect(found["t/marked.png"]?.question == "Hi")
  }

  @Test func refusesImagesThatCannotBeUsedAndSaysWhy() throws {
    try image("t/0.png")
    try image("t/anim.gif")
    try image("t/bad.png")
    try folder.write("{", to: "t/bad.json")
    try image("t/latin.png")
    try folder.write([0x47, 0xE4], to: "t/latin.txt")
    try folder.write("", to: "t/none.png")
    _ = try folder.makeFIFO("t/pipe.png")
    try folder.link("t/nowhere.png", to: "gone.png")
    try folder.makeFolder("t/folder.png")
    let set = try SampleSet(at: folder.path)
    #expect(set.samples.map(\.id) == ["t/0.png"])
    let reasons = Dictionary(uniqueKeysWithValues: set.refused.map { ($0.id, $0.reason) })
    #expect(
      reasons == [
        "t/anim.gif": "GIF images are not read; JPEG, PNG and WebP are",
        "t/bad.png": "bad.json: not valid JSON at byte 1: a key in quotes expected",
        "t/latin.png": "latin.txt: is not UTF-8",
        "t/none.png": "image 'none.png' is empty",
        "t/pipe.png": "image 'pipe.png' is not a regular file",
        "t/nowhere.png": "image 'nowhere.png' is not there",
        "t/folder.png": "a folder inside a task's folder is not read",
      ])
  }

  @Test func refusesImagesWithoutQuestionWhereThereIsNoDefault() throws {
    try image("t/1.png")
    try image("t/2.png")
    try folder.write("Why?", to: "t/2.txt")
    let set = try SampleSet(at: folder.path, defaultQuestion: nil, isRaw: true)
    #expect(set.samples.map(\.question) == ["Why?"])
    #expect(set.samples.map(\.isRaw) == [true])
    #expect(
      set.refused
        == [RefusedSample(id: "t/1.png", reason: "has no question, and there is no default")])
  }

  // MARK: metadata.jsonl

  @Test func readsTheMembersThatSetsUse() throws {
    try image("images/1.png")
    try image("images/2.png")
    try folder.write(
      """
      {"file_name": "images/1.png", "question": "Q?", "prompt": "P?", "answer": "A", "x": [1]}
      {"file_names": ["images/1.png", "images/2.png"], "prompt": "Which?", "question": null}\r

      {"file_name": ["images/2.png"], "text": "Read it.", "question": "  ", "answer": " "}
      {"file_names": "images/2.png"}
      """, to: "metadata.jsonl")
    let set = try SampleSet(at: folder.path, name: "n")
    #expect(set.refused.isEmpty)
    #expect(set.tasks == ["n"])
    #expect(set.samples.map(\.id) == [1, 2, 4, 5].map { "n/metadata.jsonl:\($0)" })
    #expect(set.samples.map(\.question) == ["Q?", "Which?", "Read it.", "Describe the image."])
    #expect(set.samples.map(\.answer) == ["A", nil, nil, nil])
    #expect(set.samples.map(\.images.count) == [1, 2, 1, 1])
    #expect(set.samples[1].images[1].name == "\(folder.path)/images/2.png")
  }

  @Test func readsTheListWhenItIsNamedItself() throws {
    try image("set/1.png")
    try folder.write(#"{"file_name": "1.png"}"#, to: "set/anything.jsonl")
    let set = try SampleSet(at: folder.path("set/anything.jsonl"))
    #expect(set.samples.map(\.id) == ["set/anything.jsonl:1"])
    #expect(set.tasks == ["anything"])
    try folder.write(#"{"file_name": "1.png"}"#, to: "set/metadata.jsonl")
    #expect(try SampleSet(at: folder.path("set/metadata.jsonl")).tasks == ["set"])
    #expect(set.samples[0].images == [ImageSource(path: "\(folder.path)/set/1.png")])
  }

  @Test(arguments: [
    ("{\"file_name\": \"1.png\"", "not valid JSON at byte 21: ',' or '}' expected"),
    ("[1]", "an array where an object is expected"),
    (#"{"question": "Q"}"#, "has no 'file_name'"),
    (#"{"file_name": 7}"#, "'file_name' must be a file name or a list of them"),
    (#"{"file_name": []}"#, "'file_name' must be a file name or a list of them"),
    (#"{"file_name": ["1.png", 2]}"#, "'file_name' holds an integer; file names expected"),
    (#"{"file_name": ""}"#, "has an empty file name"),
    (#"{"file_name": "2.png"}"#, "image '2.png' is not there"),
    (#"{"file_name": "folder"}"#, "image 'folder' is a folder"),
    (#"{"file_name": "../t/1.png"}"#, "image '../t/1.png' leads out of the folder"),
    (#"{"file_name": "folder/.."}"#, "image 'folder/..' leads out of the folder"),
    (
      #"{"file_name": "/etc/hosts"}"#,
      "image '/etc/hosts' is an absolute path that lies outside the folder"
    ),
    (#"{"file_name": "1.png\u0000.jpg"}"#, "image '1.png\\u{0}.jpg' holds a zero byte"),
    (#"{"file_name": "1.png", "question": 5}"#, "'question' is an integer; a string expected"),
    (#"{"file_name": "1.png", "answer": true}"#, "'answer' is a boolean; a string expected"),
    (
      #"{"file_name": "1.png", "file_name": "1.png"}"#,
      "not valid JSON at byte 44: an object has two members of the same key"
    ),
    (
      "{\"file_name\": \"1.png\", \"question\": \"\u{1}\"}",
      "not valid JSON at byte 36: a control character in a string"
    ),
  ])
  func refusesABadLineByItsNumber(line: String, reason: String) throws {
    try image("t/1.png")
    try folder.makeFolder("t/folder")
    let good = #"{"file_name": "1.png"}"#
    try folder.write("\(good)\n\n\(line)\n\(good)\n", to: "t/metadata.jsonl")
    let set = try SampleSet(at: folder.path)
    #expect(set.samples.count == 2)
    #expect(set.refused == [RefusedSample(id: "t/metadata.jsonl:3", reason: reason)])
  }

  @Test func refusesALineBeyondTheCap() throws {
    try image("1.png")
    let long = String(repeating: "x", count: 1 << 20)
    try folder.write(
      "{\"file_name\": \"1.png\"}\n{\"file_name\": \"1.png\", \"question\": \"\(long)\"}",
      to: "metadata.jsonl")
    let set = try SampleSet(at: folder.path)
    #expect(set.samples.count == 1)
    #expect(set.refused[0].reason.contains("more than the limit of 1048576"))
  }

  // MARK: Nothing to read

  @Test func refusesPathsThatHoldNoSamples() throws {
    let nothing = folder.path("nothing")
    #expect(
      error { () throws(InputError) in try SampleSet(at: nothing) }
        == InputError(nothing, "no such file or folder"))

    let empty = try folder.makeFolder("empty")
    let expected =
      "expected a tar archive (WebDataset); or lines of JSON with 'file_name'; or "
      + "LLaVA conversations (JSON or JSONL); or lines of JSON with OpenAI 'messages'; or "
      + "LLaVA question JSONL; or a VLMEvalKit table (TSV); or a table (CSV) with the column "
      + "'file_name'; or a folder with a metadata.jsonl or metadata.csv; or a folder with such a "
      + "file; or MME's folders of images and yes-or-no questions; or a folder of images or of such "
      + "folders"
    #expect(
      error { () throws(InputError) in try SampleSet(at: empty) }
        == InputError(empty, "holds no samples: \(expected)"))

    let file = try folder.write("hello", to: "file.jsonl")
    #expect(
      error { () throws(InputError) in try SampleSet(at: file) }
        == InputError(file, "holds no samples: \(expected)"))

    let pipe = try folder.makeFIFO("pipe")
    #expect(
      error { () throws(InputError) in try SampleSet(at: pipe) }
        == InputError(pipe, "is neither a folder nor a regular file"))

    try folder.write("{}\n[]", to: "bad/metadata.jsonl")
    #expect(
      error { () throws(InputError) in try SampleSet(at: folder.path("bad")) }
        == InputError(
          folder.path("bad"),
          "has no usable sample: 2 refused, first bad/metadata.jsonl:1: has no 'file_name'"))
  }
}
