import TensorCore

extension FolderLayout {
  /// A folder of images.  Beside `x.png` may lie `x.json` with `question` (`prompt`, `text`) and
  /// `answer`, and `x.txt` with the question alone; the first question found counts.
  static let imageFolder = FolderLayout(
    summary: "a folder of images or of such folders",
    ownsSubfolder: { _ in false },
    recognizes: { place in place.names.contains { ImageName($0) != nil } },
    read: { (place, reader) throws(InputError) in
      let names = Set(place.names)
      for name in place.names {
        guard let image = ImageName(name), PathKind(of: place.path(name)) != .folder else {
          continue
        }
        reader.add(place.id(name), in: place) { () throws(InputError) in
          guard image.isRead else {
            throw InputError(name, "\(image.format) images are not read; JPEG, PNG and WebP are")
          }
          var description = SampleDescription(images: [try place.image(name)])
          var fields: SampleFields?
          if names.contains(image.stem + ".json") {
            fields = try sidecar(image.stem + ".json", in: place) {
              (bytes) throws(InputError) -> SampleFields in try SampleFields(parsing: bytes)
            }
          }
          try description.take(fields) { () throws(InputError) in
            names.contains(image.stem + ".txt")
              ? try sidecar(image.stem + ".txt", in: place, plainText) : nil
          }
          return description
        }
      }
    })

  /// What `read` makes of the file `name` beside an image; errors name that file.
  private static func sidecar<Content>(
    _ name: String, in place: SamplePlace, _ read: ([UInt8]) throws(InputError) -> Content
  ) throws(InputError) -> Content {
    do {
      return try read(try fileBytes(at: place.path(name), limit: SampleLimits.sample))
    } catch {
      throw InputError(name, "\(printable(name)): \(error.problem)")
    }
  }
}

/// A file name that ends as an image's does, in small or capital letters.
struct ImageName {
  let stem: String
  let format: String
  /// Whether there is a decoder for the format.
  let isRead: Bool

  /// Formats by the endings of their files, in small letters.
  static let formats: [String: (name: String, isRead: Bool)] = [
    "jpg": ("JPEG", true), "jpeg": ("JPEG", true), "png": ("PNG", true), "webp": ("WebP", true),
    "gif": ("GIF", false), "bmp": ("BMP", false), "tif": ("TIFF", false), "tiff": ("TIFF", false),
    "heic": ("HEIF", false), "avif": ("HEIF", false),
  ]

  init?(_ name: String) {
    guard let dot = name.lastIndex(of: "."), dot > name.startIndex,
      let format = Self.formats[name[dot...].dropFirst().lowercased()]
    else { return nil }
    stem = String(name[..<dot])
    (self.format, isRead) = format
  }
}
