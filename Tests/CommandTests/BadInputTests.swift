import Glibc
import TensorCore
import TestSupport
import Testing

/// Malformed containers and inconsistent models through the real converter: each ends in one line
/// that names file and fault, without an output, whatever sizes it speaks of.
@Suite struct BadInputTests {
  /// An input that is wrong in one way.
  struct Input: CustomTestStringConvertible {
    /// What the error says of it.
    let says: String
    /// The file that the error names.
    let file: String
    /// Makes it in a folder; gives the arguments.
    let make: @Sendable (TemporaryFolder) throws -> [String]

    var testDescription: String { "\(file): \(says)" }
  }

  /// A hostile file may cost this much, and a moment.
  private static let memoryLimit = 500_000_000

  @Test(.timeLimit(.minutes(1)), arguments: containers + checkpoints + models)
  func endsInOneLine(_ input: Input) throws {
    let inputs = try TemporaryFolder()
    let outputs = try TemporaryFolder()
    let arguments = try input.make(inputs)
    let done = try Programs.run(
      "vtwconvert", arguments + ["-o", outputs.path("m.vtwm"), "--quiet"])
    #expect(done.status == 65 && done.signal == 0, "\(done.errors)")
    #expect(done.errors.hasPrefix("error: ") && done.errors.split(separator: "\n").count == 1)
    #expect(done.errors.contains(input.file) && done.errors.contains(input.says), "\(done.errors)")
    #expect(done.output.isEmpty)
    #expect(try folderEntries(at: outputs.path).isEmpty)
    // A program that is started begins with the peak of the process that starts it.
    var mine = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &mine)
    #expect(done.peakBytes <= max(Self.memoryLimit, mine.ru_maxrss * 1024))
  }

  // MARK: Containers

  private static func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(value)
    return writer.bytes
  }

  private static func text(_ text: String) -> [UInt8] {
    number(UInt64(text.utf8.count)) + text.utf8
  }

  /// The start of a GGUF file.
  private static func gguf(version: UInt32 = 3, tensors: UInt64 = 0, keys: UInt64 = 1) -> [UInt8] {
    Array("GGUF".utf8) + number(version) + number(tensors) + number(keys)
  }

  /// A key and the number of its value's type, or of an array and the type of its entries.
  private static func key(_ types: UInt32...) -> [UInt8] {
    text("k") + types.flatMap { number($0) }
  }

  private static func ggufFile(_ says: String, _ bytes: [UInt8]) -> Input {
    Input(says: says, file: "m.gguf") { [try $0.write(bytes, to: "m.gguf")] }
  }

  private static let containers: [Input] = [
    ggufFile(
      "has 1099511627776 tensors", gguf(tensors: 1 << 40) + [UInt8](repeating: 0, count: 99)),
    ggufFile("other byte order", gguf(version: 3 << 24)),
    ggufFile("version 1", gguf(version: 1)),
    ggufFile("has 9223372036854775808 bytes", gguf() + key(8) + number(UInt64(1) << 63)),
    ggufFile("1152921504606846976 entries", gguf() + key(9, 4) + number(UInt64(1) << 60)),
    ggufFile(
      "levels of arrays",
      gguf() + key(9)
        + Array(repeatElement(number(UInt32(9)) + number(UInt64(1)), count: 1000).joined())),
    Input(says: "bytes before its tensors", file: "m.gguf") { folder in
      // Holes of a sparse file: each key is an array of 2^21 strings without text.
      let path = try folder.write(gguf(keys: 100), to: "m.gguf")
      let file = unsafe open(path, O_WRONLY)
      defer { close(file) }
      for place in 0..<100 {
        let start =
          text("k\(place)") + number(UInt32(9)) + number(UInt32(8)) + number(UInt64(1) << 21)
        lseek(file, 0, SEEK_END)
        guard unsafe write(file, start, start.count) == start.count,
          ftruncate(file, lseek(file, 0, SEEK_CUR) + 8 << 21) == 0
        else { throw InputError(path, errorText(errno)) }
      }
      return [path]
    },
    Input(says: "have more than 200000 tensors", file: "m-00002-of-00002.gguf") { folder in
      for place in 0..<2 {
        var bytes = gguf(tensors: 100_001, keys: 2)
        bytes += text("split.no") + number(UInt32(2)) + number(UInt16(place))
        bytes += text("split.count") + number(UInt32(2)) + number(UInt16(2))
        for tensor in 0..<100_001 {
          bytes += text("\(place).\(tensor)") + number(UInt32(1)) + number(UInt64(1))
          bytes += number(UInt32(24)) + number(UInt64(32 * tensor))
        }
        bytes += [UInt8](repeating: 0, count: 32 * 100_002)
        try folder.write(bytes, to: "m-0000\(place + 1)-of-00002.gguf")
      }
      return [folder.path("m-00001-of-00002.gguf")]
    },
    Input(says: "header size is 9223372036854775808", file: "model.safetensors") { folder in
      try copy("models/gqa", to: folder, ["model.safetensors": number(UInt64(1) << 63)])
    },
    Input(says: "not valid JSON", file: "model.safetensors") { folder in
      let path = try copy(
        "models/gqa", to: folder, ["model.safetensors": number(UInt64(100_000_000))])
      // As many zeros, none of which are on the disk.
      guard unsafe truncate(folder.path("model.safetensors"), 20 << 30) == 0 else {
        throw InputError(folder.path, errorText(errno))
      }
      return path
    },
    Input(says: "nested deeper than 8", file: "model.safetensors") { folder in
      let header = [UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)
      let bytes = number(UInt64(header.count + 5)) + "{\"a\":".utf8 + header
      return try copy("models/gqa", to: folder, ["model.safetensors": bytes])
    },
    Input(says: "convert it in Python", file: "pytorch_model.bin") { folder in
      try folder.write([0x50, 0x4B, 3, 4], to: "pytorch_model.bin")
      return [folder.path]
    },
  ]

  // MARK: Folders

  /// The files of a fixture in `folder`, some with other bytes; gives its path.
  private static func copy(
    _ fixture: String, to folder: TemporaryFolder, _ changed: [String: [UInt8]]
  ) throws -> [String] {
    let source = fixturePath(fixture)
    for name in try folderEntries(at: source) {
      try folder.write(
        changed[name] ?? fileBytes(at: "\(source)/\(name)", limit: 1 << 28), to: name)
    }
    for (name, bytes) in changed { try folder.write(bytes, to: name) }
    return [folder.path]
  }

  private static func changed(_ file: String, _ says: String, _ bytes: String) -> Input {
    Input(says: says, file: file) { try copy("models/gqa", to: $0, [file: Array(bytes.utf8)]) }
  }

  /// `file` with every `old` replaced.
  private static func replaced(_ file: String, _ old: String, _ new: String, _ says: String)
    -> Input
  {
    Input(says: says, file: file) { folder in
      let bytes = try fileBytes(at: fixturePath("models/gqa/\(file)"), limit: 1 << 28)
      let text = String(decoding: bytes, as: UTF8.self)
      try #require(text.contains(old))
      return try copy(
        "models/gqa", to: folder, [file: Array(text.replacingAll(old, with: new).utf8)])
    }
  }

  /// `file` made something else than a file of its own.
  private static func made(
    _ file: String, _ says: String,
    _ make: @escaping @Sendable (TemporaryFolder, String) throws -> Void
  ) -> Input {
    Input(says: says, file: file) { folder in
      let arguments = try copy("models/gqa", to: folder, [:])
      unsafe unlink(folder.path(file))
      try make(folder, file)
      return arguments
    }
  }

  private static let manyObjects =
    "{\"a\":[" + String(repeating: "{\"b\":1},", count: 1_400_000) + "0],}"
  private static let manyMembers =
    "{" + (0..<600_000).map { "\"member \($0)\":1" }.joined(separator: ",") + "}"

  private static let checkpoints: [Input] = [
    changed("config.json", "a key in quotes expected", manyObjects),
    changed("tokenizer.json", "more than 524288 members", manyMembers),
    changed(
      "generation_config.json", "has 500001 ids",
      "{\"eos_token_id\":[" + String(repeating: "1,", count: 500_000) + "1]}"),
    replaced(
      "config.json", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 1000000000",
      "'text_config.num_hidden_layers' is 1000000000"),
    replaced("config.json", "\"llava\"", "\"llava_mistral\"", "is 'llava_mistral'"),
    changed(
      "chat_template.json", "it takes too many steps",
      "{\"chat_template\":\"{% set a = [1] %}{% set b = [1] %}"
        + String(repeating: "{% set a = [a, a] %}{% set b = [b, b] %}", count: 30)
        + "{% if a == b %}x{% endif %}\"}"),
    made("config.json", "is not a regular file") { _ = try $0.makeFIFO($1) },
    made("tokenizer.json", "is a folder") { try $0.makeFolder($1) },
    made("tokenizer_config.json", "Too many levels of symbolic links") { try $0.link($1, to: $1) },
    made("special_tokens_map.json", "No such file or directory") { try $0.link($1, to: "nowhere") },
    made("preprocessor_config.json", "is not a regular file") { try $0.link($1, to: "/dev/zero") },
    Input(says: "is no file of the same folder", file: "model.safetensors.index.json") { folder in
      try folder.write(
        "{\"weight_map\":{\"a\":\"../m.safetensors\"}}", to: "model.safetensors.index.json")
      return [folder.path]
    },
    Input(says: "does not put there", file: "s0.safetensors") { folder in
      // One file under many names would be as many times its tensors.
      let entry = #"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#
      let header = (0..<20_000).map { "\"\($0)\":\(entry)" }.joined(separator: ",")
      try folder.write(text("{\(header)}"), to: "s0.safetensors")
      for place in 1..<100 { try folder.link("s\(place).safetensors", to: "s0.safetensors") }
      let map = (0..<100).map { "\"\($0)\":\"s\($0).safetensors\"" }.joined(separator: ",")
      try folder.write("{\"weight_map\":{\(map)}}", to: "model.safetensors.index.json")
      return [folder.path]
    },
  ]

  // MARK: Models

  private static let models: [Input] = [
    Input(says: "give the language model", file: "mmproj-gqa.gguf") { _ in
      [fixturePath("gguf/gqa/mmproj-gqa.gguf")]
    },
    Input(says: "'clip' is needed", file: "gqa.gguf") { _ in
      [fixturePath("gguf/gqa/gqa.gguf"), "--mmproj", fixturePath("gguf/gqa/gqa.gguf")]
    },
    Input(says: "the configuration needs", file: "mmproj-gqa.gguf") { _ in
      [
        fixturePath("gguf/byte-level/model.gguf"), "--mmproj",
        fixturePath("gguf/gqa/mmproj-gqa.gguf"),
      ]
    },
    Input(says: "is missing, but", file: "model-00002-of-00003.gguf") { folder in
      for place in [1, 3] {
        let name = "model-0000\(place)-of-00003.gguf"
        try folder.write(
          fileBytes(at: fixturePath("gguf/one-layer/\(name)"), limit: 1 << 28), to: name)
      }
      return [folder.path("model-00003-of-00003.gguf"), "--mmproj", "none"]
    },
    Input(says: "has 2 mmproj files", file: "mmproj-a.gguf") { folder in
      for name in ["m.gguf", "mmproj-a.gguf", "mmproj-b.gguf"] {
        try folder.write(gguf(), to: name)
      }
      return [folder.path("m.gguf")]
    },
    Input(says: "is only for GGUF models", file: "none.gguf") { folder in
      [fixturePath("models/gqa"), "--mmproj", "none.gguf"]
    },
  ]
}
