import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct ImageSourceTests {
  private func decoded(_ text: String) throws(InputError) -> String {
    let bytes = Array(text.utf8)
    return String(decoding: try decodeBase64(bytes.span, 0..<bytes.count, name: "n"), as: UTF8.self)
  }

  // The vectors of RFC 4648, section 10.
  @Test(arguments: [
    ("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"),
    ("Zm9vYmE=", "fooba"), ("Zm9vYmFy", "foobar"),
  ])
  func decodesBase64(text: String, expected: String) throws {
    #expect(try decoded(text) == expected)
  }

  @Test(arguments: [
    ("Zg=", "is not base64: 3 characters, not a multiple of four"),
    ("Zg=v", "is not base64: byte 61 at character 3"),
    ("Z===", "is not base64: byte 61 at character 2"), ("Zm9v\nZg=", ""),
    ("Zm-v", "is not base64: byte 45 at character 3"),
    ("Zm9\u{E9}", "is not base64: 5 characters, not a multiple of four"),
  ])
  func refusesWhatIsNotBase64(text: String, problem: String) throws {
    let error = #expect(throws: InputError.self) { try decoded(text) }
    if !problem.isEmpty { #expect(error == InputError("n", problem)) }
  }

  @Test func readsFilesPartsAndMemory() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("..Zm9v..", to: "f")
    #expect(try ImageSource(path: path).bytes() == Array("..Zm9v..".utf8))
    #expect(try ImageSource(in: path, range: 2..<6, name: "n").bytes() == Array("Zm9v".utf8))
    let encoded = ImageSource(in: path, range: 2..<6, isBase64: true, name: "n")
    #expect(try encoded.bytes() == Array("foo".utf8))
    #expect(ImageSource(bytes: [1], name: "n") == ImageSource(bytes: [1], name: "n"))
    #expect(throws: InputError("n", "ends at byte 9, but the file now has 8 bytes")) {
      try ImageSource(in: path, range: 2..<9, name: "n").bytes()
    }
    #expect(throws: InputError("n", "is empty; JPEG, PNG or WebP expected")) {
      try RGBImage(ImageSource(bytes: [], name: "n"))
    }
  }
}
