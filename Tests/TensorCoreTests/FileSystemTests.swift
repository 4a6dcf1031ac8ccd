import TensorCore
import TestSupport
import Testing

@Suite struct FileSystemTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func listsNamesByTheirBytes() throws {
    for name in ["b", "B", "é", "10", "9", ".hidden", "a b", "d/deep"] {
      try folder.write("x", to: name)
    }
    try folder.link("link", to: "nowhere")
    #expect(
      try folderEntries(at: folder.path)
        == [".hidden", "10", "9", "B", "a b", "b", "d", "link", "é"])
  }

  @Test func refusesWhatCannotBeListed() throws {
    let file = try folder.write("x", to: "file")
    try folder.write("x", to: "file 2")
    for (path, limit, problem) in [
      (folder.path("missing"), 9, "No such file or directory"), (file, 9, "Not a directory"),
      (folder.path, 1, "holds more than 1 files"),
    ] {
      let error = #expect(throws: InputError.self) { try folderEntries(at: path, limit: limit) }
      #expect(error == InputError(path, problem))
    }
    #expect(try folderEntries(at: folder.path, limit: 2).count == 2)
  }

  @Test func tellsWhatLiesAtAPath() throws {
    try folder.write("abc", to: "file")
    try folder.makeFolder("folder")
    try folder.link("link", to: "file")
    try folder.link("dangling", to: "nowhere")
    #expect(PathKind(of: folder.path("file")) == .file(byteCount: 3))
    #expect(PathKind(of: folder.path("link")) == .file(byteCount: 3))
    #expect(PathKind(of: folder.path("folder")) == .folder)
    #expect(PathKind(of: try folder.makeFIFO("pipe")) == .other)
    #expect(PathKind(of: folder.path("dangling")) == .missing)
    #expect(PathKind(of: "") == .missing)
    #expect(isNamed(folder.path("dangling")) && isNamed(folder.path("folder")))
    #expect(!isNamed(folder.path("nothing")))
  }

  @Test func readsFilesUpToALimit() throws {
    let path = try folder.write([1, 2, 3], to: "file")
    #expect(try fileBytes(at: path, limit: 3) == [1, 2, 3])
    #expect(try fileBytes(at: folder.write("", to: "empty"), limit: 0).isEmpty)
    let error = #expect(throws: InputError.self) { try fileBytes(at: path, limit: 2) }
    #expect(error == InputError(path, "has 3 bytes, more than the limit of 2"))
    let pipe = try folder.makeFIFO("pipe")
    #expect(throws: InputError(pipe, "is not a regular file")) {
      try fileBytes(at: pipe, limit: 2)
    }
  }
}
