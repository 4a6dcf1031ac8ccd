/// The EXIF and XMP blocks of an image file, found by walking its segments or chunks.
///
/// The walk ends quietly at whatever is malformed: what these blocks say is advice.
struct ImageMetadata {
  /// A TIFF stream, without the `Exif\0\0` before it.
  private(set) var exif: ArraySlice<UInt8>?
  /// An XML text.
  private(set) var xmp: ArraySlice<UInt8>?

  init(of file: [UInt8], _ format: ImageFormat) {
    switch format {
    case .jpeg: walkJPEG(file)
    case .png: walkPNG(file)
    case .webp: walkWebP(file)
    }
    // Some writers put the prefix twice, or where the format has none.
    for _ in 0..<2 where exif?.starts(with: exifPrefix) == true {
      exif = exif?.dropFirst(exifPrefix.count)
    }
  }

  /// Application segments up to the first scan.  EXIF that is longer than one segment goes on in
  /// the next.
  private mutating func walkJPEG(_ file: [UInt8]) {
    var offset = 2
    while let marker = file.bigEndian16(at: offset) {
      if marker == 0xFFFF || marker < 0xFF00 {
        offset += 1
        continue
      }
      offset += 2
      // Restart marks and the like stand alone.
      if marker == 0xFF00 || marker == 0xFF01 || (0xFFD0...0xFFD8).contains(marker) { continue }
      if marker == 0xFFD9 || marker == 0xFFDA { return }
      guard let length = file.bigEndian16(at: offset), length >= 2, offset + length <= file.count
      else { return }
      let segment = file[offset + 2..<offset + length]
      if marker == 0xFFE1, segment.starts(with: exifPrefix) {
        let more = segment.dropFirst(exifPrefix.count)
        if exif == nil { exif = more } else { exif?.append(contentsOf: more) }
      } else if marker == 0xFFE1, segment.starts(with: xmpPrefix) {
        xmp = segment.dropFirst(xmpPrefix.count)
      }
      offset += length
    }
  }

  /// All chunks, because both blocks may also follow the pixels.  Compressed XMP is not read.
  private mutating func walkPNG(_ file: [UInt8]) {
    var offset = 8
    while let length = file.bigEndian32(at: offset), length <= file.count - offset - 8 {
      let kind = file[offset + 4..<offset + 8]
      let data = file[offset + 8..<offset + 8 + length]
      if kind.elementsEqual("eXIf".utf8) {
        exif = data
      } else if kind.elementsEqual("iTXt".utf8), data.starts(with: xmpKeyword) {
        xmp = data.dropFirst(xmpKeyword.count)
      }
      // Length, kind and checksum.
      offset += length + 12
    }
  }

  private mutating func walkWebP(_ file: [UInt8]) {
    var offset = 12
    while let length = file.littleEndian32(at: offset + 4), length <= file.count - offset - 8 {
      let kind = file[offset..<offset + 4]
      let data = file[offset + 8..<offset + 8 + length]
      if kind.elementsEqual("EXIF".utf8) {
        exif = exif ?? data
      } else if kind.elementsEqual("XMP ".utf8) {
        xmp = xmp ?? data
      }
      offset += 8 + length + length % 2
    }
  }
}

private let exifPrefix = Array("Exif\0\0".utf8)
private let xmpPrefix = Array("http://ns.adobe.com/xap/1.0/\0".utf8)
/// The keyword, then two zeros: not compressed.
private let xmpKeyword = Array("XML:com.adobe.xmp\0\0".utf8)

/// The value of tag 0x0112 in the first directory of a TIFF stream.
///
/// - Returns: nil if there is no such tag; 0 if its value is not a whole number.
func orientationInEXIF(_ stream: ArraySlice<UInt8>) -> Int? {
  let bytes = Array(stream)
  let isBigEndian: Bool
  if bytes.starts(with: "MM".utf8) {
    isBigEndian = true
  } else if bytes.starts(with: "II".utf8) {
    isBigEndian = false
  } else {
    return nil
  }
  func number16(at offset: Int) -> Int? {
    isBigEndian ? bytes.bigEndian16(at: offset) : bytes.littleEndian16(at: offset)
  }
  func number32(at offset: Int) -> Int? {
    isBigEndian ? bytes.bigEndian32(at: offset) : bytes.littleEndian32(at: offset)
  }

  guard let directory = number32(at: 4), let entries = number16(at: directory) else { return nil }
  for entry in 0..<entries {
    let offset = directory + 2 + 12 * entry
    guard let tag = number16(at: offset) else { return nil }
    guard tag == 0x0112 else { continue }
    guard let type = number16(at: offset + 2), let count = number32(at: offset + 4),
      count > 0
    else { return nil }
    // TIFF type 3 has two bytes, type 4 four; values of more than four bytes lie elsewhere.
    guard type == 3 || type == 4 else { return 0 }
    let isInline = count * (type == 3 ? 2 : 4) <= 4
    guard let value = isInline ? offset + 8 : number32(at: offset + 8) else { return nil }
    return type == 3 ? number16(at: value) : number32(at: value)
  }
  return nil
}

/// The digit of the first `tiff:Orientation="6"` or `<tiff:Orientation>6<` in an XMP text.
func orientationInXMP(_ text: ArraySlice<UInt8>) -> Int? {
  let name = Array("tiff:Orientation".utf8)
  var rest = text
  while let start = rest.firstIndex(of: name[0]) {
    rest = rest[start...]
    if rest.starts(with: name) {
      var value = rest.dropFirst(name.count)
      if value.starts(with: "=\"".utf8) {
        value = value.dropFirst(2)
      } else if value.starts(with: ">".utf8) {
        value = value.dropFirst()
      } else {
        value = []
      }
      if let digit = value.first, (0x30...0x39).contains(digit) { return Int(digit) - 0x30 }
    }
    rest = rest.dropFirst()
  }
  return nil
}

extension [UInt8] {
  /// The number at `offset`, or nil where the array does not hold all of it.
  fileprivate func bigEndian16(at offset: Int) -> Int? {
    guard offset >= 0, offset <= count - 2 else { return nil }
    return Int(self[offset]) << 8 | Int(self[offset + 1])
  }

  fileprivate func bigEndian32(at offset: Int) -> Int? {
    guard let high = bigEndian16(at: offset), let low = bigEndian16(at: offset + 2) else {
      return nil
    }
    return high << 16 | low
  }

  fileprivate func littleEndian16(at offset: Int) -> Int? {
    guard offset >= 0, offset <= count - 2 else { return nil }
    return Int(self[offset + 1]) << 8 | Int(self[offset])
  }

  fileprivate func littleEndian32(at offset: Int) -> Int? {
    guard let low = littleEndian16(at: offset), let high = littleEndian16(at: offset + 2) else {
      return nil
    }
    return high << 16 | low
  }
}
