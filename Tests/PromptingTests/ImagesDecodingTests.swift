import Prompting
import TensorCore
import Testing

@Suite struct ImagesDecodingTests {
  @Test(arguments: ImageCases.all.decoding)
  func pixelsAreThoseOfPillow(_ expected: ImageCases.Decoding) throws {
    let bytes = try imageCaseBytes(expected.file)
    let stored = try RGBImage(decoding: bytes, name: expected.file, appliesOrientation: false)
    #expect(crc32(stored.pixels) == expected.stored)
    let upright = try RGBImage(decoding: bytes, name: expected.file)
    #expect([upright.width, upright.height] == [expected.width, expected.height])
    #expect(crc32(upright.pixels) == expected.upright)
  }

  @Test func readsFileByPath() throws {
    let path = imageCasePath("orientation-6.jpg")
    let image = try RGBImage(ImageSource(path: path))
    #expect(image == (try RGBImage(decoding: imageCaseBytes("orientation-6.jpg"), name: path)))
    #expect([image.width, image.height] == [14, 21])
  }

  @Test func namesMissingFile() {
    let problem = inputProblem { () throws(InputError) in
      _ = try RGBImage(ImageSource(path: "nowhere/cat.jpg"))
    }
    #expect(problem == "nowhere/cat.jpg: No such file or directory")
  }

  @Test(arguments: [
    ("GIF89a\u{1}\u{0}", "is a GIF image"),
    ("BM6\u{0}\u{0}\u{0}", "is a BMP image"),
    ("II*\u{0}\u{8}", "is a TIFF image"),
    ("\u{0}\u{0}\u{0}\u{1c}ftypavif", "is an AVIF image"),
    ("\u{0}\u{0}\u{0}\u{1c}ftypheic", "is an HEIC image"),
    ("\u{0}\u{0}\u{0}\u{1c}ftypmif1", "is an HEIF image"),
    ("\u{0}\u{0}\u{0}\u{1c}ftypisom", "is a video"),
    ("%PDF-1.7", "is a PDF document"),
    ("RIFF\u{8}\u{0}\u{0}\u{0}WAVE", "is not an image: starts with bytes 52 49 46 46 08 00 00 00"),
    ("hi", "is not an image: starts with bytes 68 69"),
    ("", "is empty"),
  ])
  func namesWhatElseItIs(text: String, problem: String) {
    let found = inputProblem { () throws(InputError) in
      _ = try RGBImage(decoding: Array(text.utf8), name: "cat")
    }
    #expect(found == "cat: \(problem); JPEG, PNG or WebP expected")
  }

  @Test func refusesOversizedImageBeforeAllocating() throws {
    // The frame header (FF C0) has height and width from its sixth byte on.
    var jpeg = try imageCaseBytes("color-444.jpg")
    let frame = try #require(jpeg.indices.first { jpeg[$0...].starts(with: [0xFF, 0xC0, 0, 17]) })
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
    #expect(
      inputProblem { () throws(InputError) in _ = try RGBImage(decoding: jpeg, name: "big.jpg") }
        == "big.jpg: is a JPEG image of 65500 x 65500 pixels; images of 1 to 134217728 pixels, "
        + "no side longer than 65535, are accepted")

    var png = try imageCaseBytes("rgb-8.png")
    for (size, text) in [
      ([0, 1, 0, 0, 0, 0, 0, 1], "65536 x 1"),
      ([0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF], "2147483647 x 2147483647"),
    ] as [([UInt8], String)] {
      png.replaceSubrange(16..<24, with: size)
      let problem = inputProblem { () throws(InputError) in
        _ = try RGBImage(decoding: withPNGChecksums(png), name: "wide.png")
      }
      #expect(problem?.hasPrefix("wide.png: is a PNG image of \(text) pixels;") == true)
    }
  }

  @Test(arguments: [
    ("color-420.jpg", "JPEG: the file is truncated"),
    ("progressive.jpg", "JPEG: the file is truncated"),
    ("rgb-8.png", "PNG: the file is truncated"),
    ("lossy.webp", "WebP: the file is truncated or damaged"),
  ])
  func refusesTruncatedFile(file: String, reason: String) throws {
    let bytes = Array(try imageCaseBytes(file).dropLast(40))
    let problem = inputProblem { () throws(InputError) in
      _ = try RGBImage(decoding: bytes, name: file)
    }
    #expect(problem == "\(file): cannot be decoded as \(reason)")
  }

  @Test func refusesEndlessScans() throws {
    let jpeg = try imageCaseBytes("progressive.jpg")
    let scan = try #require(jpeg.indices.last { jpeg[$0...].starts(with: [0xFF, 0xDA]) })
    let end = jpeg.count - 2
    func repeating(_ count: Int) -> [UInt8] {
      jpeg[..<scan] + (0..<count).flatMap { _ in jpeg[scan..<end] } + jpeg[end...]
    }
    _ = try RGBImage(decoding: repeating(400), name: "cat.jpg")
    let problem = inputProblem { () throws(InputError) in
      _ = try RGBImage(decoding: repeating(600), name: "cat.jpg")
    }
    #expect(problem == "cat.jpg: cannot be decoded as JPEG: it has more than 500 scans")
  }

  @Test func refusesWrongChecksumOfPixels() throws {
    var png = try imageCaseBytes("rgb-8.png")
    // The last byte of the checksum of IDAT; IEND takes the 12 bytes after it.
    png[png.count - 13] ^= 1
    let problem = inputProblem { () throws(InputError) in
      _ = try RGBImage(decoding: png, name: "cat.png")
    }
    #expect(problem == "cat.png: cannot be decoded as PNG: IDAT: CRC error")
  }
}
