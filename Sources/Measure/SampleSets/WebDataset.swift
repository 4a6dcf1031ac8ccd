import Prompting
import TensorCore

extension ListLayout {
  /// A WebDataset: a tar archive where `key.jpg` (`.png`, `.webp`) and `key.json`, `key.txt`,
  /// `key.cls` follow each other.  Images stay in the archive until they are wanted.
  ///
  /// A key ends at the first dot of the file's name.  The text files mean what they mean beside an
  /// image in a folder; `cls` is an answer.  The folder that a key lies in is its task.
  static let webDataset = ListLayout(
    summary: "a tar archive (WebDataset)",
    recognizes: { file in
      TarArchive.isArchive(file) || Compression.of(file) != nil && file.name.contains(".t")
    },
    read: { (file, place, reader) throws(InputError) in
      if let compression = Compression.of(file) {
        throw InputError(
          file.path, "is compressed with \(compression); unpack the tar archive first")
      }
      let archive = TarArchive(file)
      for member in archive.members
      where ["metadata.jsonl", "metadata.csv"].contains(where: member.name.hasSuffix) {
        throw InputError(
          file.path, "holds '\(printable(member.name))', which is read in a folder only: unpack it")
      }
      for group in MemberGroup.groups(of: archive) where group.mayBeSample {
        reader.add(place.id("\(file.name):\(group.key)"), in: place) { () throws(InputError) in
          try group.description(in: file)
        }
      }
      if let problem = archive.problem { reader.refuse(place.id(file.name), problem) }
    })
}

/// The members of one key, which follow each other.
private struct MemberGroup {
  let key: String
  /// With what follows the first dot of the name, in small letters.
  private(set) var parts: [(ending: String, member: TarArchive.Member)]

  static func groups(of archive: TarArchive) -> [MemberGroup] {
    var groups: [MemberGroup] = []
    for member in archive.members where member.otherKind != "a folder" {
      let nameStart = member.name.lastIndex(of: "/").map(member.name.index(after:))
      let name = member.name[(nameStart ?? member.name.startIndex)...]
      // Hidden files, as Macs put them into archives, do not count.
      guard let dot = name.firstIndex(of: "."), dot > name.startIndex else { continue }
      let key = String(member.name[..<dot])
      let ending = name[name.index(after: dot)...].lowercased()
      if groups.last?.key != key { groups.append(MemberGroup(key: key, parts: [])) }
      groups[groups.count - 1].parts.append((ending, member))
    }
    return groups
  }

  /// Whether anything in it is what a sample is made of.
  var mayBeSample: Bool {
    parts.contains { ImageName.formats[$0.ending] != nil || ["json", "cls"].contains($0.ending) }
  }

  func description(in file: ListFile) throws(InputError) -> SampleDescription {
    let images = parts.filter { ImageName.formats[$0.ending] != nil }
    guard let image = images.first?.member, images.count == 1 else {
      throw InputError("", "has \(images.count) images; one is expected")
    }
    guard ImageName.formats[images[0].ending]?.isRead == true else {
      throw InputError("", "\(images[0].ending) images are not read; JPEG, PNG and WebP are")
    }
    guard image.otherKind == nil else {
      throw InputError("", "its image is \(image.otherKind ?? ""), not a file")
    }
    guard !image.range.isEmpty else { throw InputError("", "its image is empty") }
    guard image.range.count <= SampleLimits.image else {
      throw InputError(
        "", "its image has \(image.range.count) bytes; at most \(SampleLimits.image) are read")
    }
    var description = SampleDescription(
      images: [ImageSource(in: file.path, range: image.range, name: "\(file.name): \(image.name)")])
    if let folder = key.lastIndex(of: "/") { description.task = String(key[..<folder]) }
    let fields = try text("json", in: file).map { (json) throws(InputError) in
      try SampleFields(parsing: json)
    }
    try description.take(fields) { () throws(InputError) in
      try text("txt", in: file).flatMap { (bytes) throws(InputError) in try plainText(bytes) }
    }
    if description.answer == nil, let bytes = try text("cls", in: file) {
      description.answer = try plainText(bytes)
    }
    return description
  }

  private func text(_ ending: String, in file: ListFile) throws(InputError) -> [UInt8]? {
    guard let member = parts.first(where: { $0.ending == ending })?.member else { return nil }
    guard member.otherKind == nil else {
      throw InputError("", "its \(ending) is \(member.otherKind ?? ""), not a file")
    }
    return try file.text(member.range, limit: SampleLimits.sample)
  }
}

/// How a file is compressed, by its first bytes.
private enum Compression {
  private static let signatures: [(bytes: [UInt8], name: String)] = [
    ([0x1F, 0x8B], "gzip"), ([0x28, 0xB5, 0x2F, 0xFD], "zstd"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz"), ([0x42, 0x5A, 0x68], "bzip2"),
  ]

  static func of(_ file: ListFile) -> String? {
    let start = file.region.copy(0..<min(8, file.region.byteCount))
    return signatures.first { start.starts(with: $0.bytes) }?.name
  }
}
