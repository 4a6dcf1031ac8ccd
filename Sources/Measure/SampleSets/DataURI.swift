import Prompting
import TensorCore

/// A `data:` address (RFC 2397) that holds an image as base64.
struct DataURI {
  private let payload: [UInt8]

  /// Nil if `address` is of another kind.
  ///
  /// - Throws: `InputError` if it is a `data:` address, but not of an image in base64.
  init?(_ address: String) throws(InputError) {
    guard address.hasPrefix("data:") else { return nil }
    guard let comma = address.utf8.firstIndex(of: UInt8(ascii: ",")) else {
      throw InputError("", "a data URI has no comma")
    }
    let kind = address[..<comma].dropFirst(5)
    guard kind.hasPrefix("image/"), kind.hasSuffix(";base64") else {
      throw InputError(
        "", "a data URI is of '\(printable(kind, limit: 40))'; 'image/…;base64' is read")
    }
    payload = Array(address[address.index(after: comma)...].utf8)
  }

  /// The image, checked to be base64.
  ///
  /// JSON writes base64 as it is, so the file itself holds the payload in the entry that `text` was
  /// read from; then only the place is kept.  Equal texts are equal images, so any place will do.
  func source(
    in file: ListFile, _ entry: Range<Int>, text: [UInt8], name: String
  ) throws(InputError) -> ImageSource {
    guard !payload.isEmpty else { throw InputError("", "a data URI holds no image") }
    let bytes: [UInt8]
    do {
      bytes = try decodeBase64(payload.span, 0..<payload.count, name: name)
    } catch {
      throw InputError("", "a data URI \(error.problem)")
    }
    guard let place = text.firstPlace(of: payload) else {
      return ImageSource(bytes: bytes, name: name)
    }
    let start = entry.lowerBound + place
    return ImageSource(
      in: file.path, range: start..<start + payload.count, isBase64: true, name: name)
  }
}

extension [UInt8] {
  /// Where `part`, which is not empty, lies; nil if it does not.
  fileprivate func firstPlace(of part: [UInt8]) -> Int? {
    guard part.count <= count else { return nil }
    for place in 0...count - part.count where self[place] == part[0] {
      if self[place..<place + part.count].elementsEqual(part) { return place }
    }
    return nil
  }
}
