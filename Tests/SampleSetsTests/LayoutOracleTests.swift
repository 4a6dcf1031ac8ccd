import Crypto
import Prompting
import SampleSets
import TensorCore
import TestSupport
import Testing

/// Every layout against what the tools that made it say it holds: `make_sample_sets.py`.
@Suite struct LayoutOracleTests {
  static let expected: JSONObject = {
    let path = fixturePath("sample-sets/expected.json")
    let bytes = (try? fileBytes(at: path, limit: 1 << 20)) ?? []
    return (try? JSONValue(parsing: bytes, file: path))?.objectValue ?? JSONObject()
  }()
  static let layouts = expected.members.map(\.key)

  @Test func thereAreFixtures() { #expect(Self.layouts.count == 15) }

  @Test(arguments: layouts)
  func readsTheSetWhole(layout: String) throws {
    let set = try SampleSet(at: fixturePath("sample-sets/\(layout)"))
    #expect(set.refused == [])
    let wanted = try #require(Self.expected[layout]?.arrayValue)
    try #require(set.samples.count == wanted.count)
    for (sample, want) in zip(set.samples, wanted) {
      #expect(sample.id == want["id"]?.stringValue)
      #expect(sample.task == want["task"]?.stringValue)
      #expect(sample.question == want["question"]?.stringValue, "\(sample.id)")
      #expect(sample.answer == want["answer"]?.stringValue, "\(sample.id)")
      let digests = try sample.images.map { sha256(try $0.bytes()) }
      #expect(digests == want["images"]?.arrayValue?.compactMap(\.stringValue), "\(sample.id)")
      for image in sample.images { _ = try RGBImage(image) }
    }
  }

  /// A folder with one list reads as the list; its name is then the task's.
  @Test(arguments: [
    ("llava", "train.json"), ("llava-lines", "train.jsonl"), ("questions", "questions.jsonl"),
    ("messages", "chat.jsonl"),
  ])
  func readsAListByItsFolderAndByItself(folder: String, file: String) throws {
    let byFolder = try SampleSet(at: fixturePath("sample-sets/\(folder)"))
    let byFile = try SampleSet(at: fixturePath("sample-sets/\(folder)/\(file)"))
    #expect(byFile.samples.map(\.id) == byFolder.samples.map(\.id))
    #expect(byFile.samples.map(\.images) == byFolder.samples.map(\.images))
  }

  @Test func putsTheGivenNameBeforeCategories() throws {
    let path = fixturePath("sample-sets/questions/questions.jsonl")
    #expect(try SampleSet(argument: "q=\(path)").tasks == ["q/conv", "q/detail"])
  }

  @Test func readsAllListsOfAFolderAsOneTask() throws {
    let set = try SampleSet(at: fixturePath("sample-sets/vlmevalkit"), name: "n")
    #expect(set.tasks == ["n/choice", "n/other", "n"])
    #expect(set.samples.count == 9)
  }

  @Test func numbersSamplesOfTheSameName() throws {
    let path = fixturePath("sample-sets/jsonl")
    var set = try SampleSet(at: path)
    set.append(try SampleSet(at: path))
    #expect(Set(set.samples.map(\.id)).count == 12)
    #expect(set.samples[6].id == "jsonl/metadata.jsonl:1 (2)")
  }

  private func sha256(_ bytes: [UInt8]) -> String {
    SHA256.hash(data: bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
