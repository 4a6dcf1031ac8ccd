import TensorCore
import Testing
import VTWMFile

/// One way to be wrong: a change to the visual model's file, and what the error must say.
struct Malformed: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let message: String
  let edit: @Sendable (inout FileBytes) -> Void

  init(
    _ description: String, says message: String,
    _ edit: @escaping @Sendable (inout FileBytes) -> Void
  ) {
    testDescription = description
    self.message = message
    self.edit = edit
  }
}

/// The same with a change to the bytes themselves.
struct Misframed: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let message: String
  let edit: @Sendable (inout [UInt8]) -> Void

  /// - Parameter reseal: whether checksums and content id are made to fit the change.
  init(
    _ description: String, says message: String, reseal: Bool = true,
    _ edit: @escaping @Sendable (inout [UInt8]) -> Void
  ) {
    testDescription = description
    self.message = message
    self.edit = { bytes in
      edit(&bytes)
      if reseal { FileBytes.reseal(&bytes) }
    }
  }
}

/// The visual model's file, to be changed.
final class MalformedFixture {
  let folder: TemporaryFolder
  let original: [UInt8]

  init(_ contents: VTWMContents = TinyModel.visual) throws {
    folder = try TemporaryFolder()
    try TinyModel.writeVisual(contents, at: folder.file("original.vtwm"))
    original = try folder.read("original.vtwm")
  }

  /// The error's text when the bytes are opened; nil if they open.
  func problem(_ bytes: [UInt8], verifying: Bool = false) throws -> String? {
    let path = try folder.write(bytes, as: "changed.vtwm")
    do {
      let file = try VTWMFile(opening: path)
      if verifying { try file.verify() }
      return nil
    } catch {
      #expect(error.file == path)
      #expect(!error.description.contains("\n"))
      return error.problem
    }
  }

  func expectRefusal(
    _ bytes: [UInt8], _ message: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let problem = try problem(bytes)
    #expect(
      problem?.contains(message) == true, "\(problem ?? "opened")", sourceLocation: sourceLocation)
  }

  func refuse(
    _ malformed: Malformed, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var file = try FileBytes(original)
    malformed.edit(&file)
    try expectRefusal(file.bytes, malformed.message, sourceLocation: sourceLocation)
  }
}
