import Architecture
import Prompting
import TensorCore
import Testing

/// What Pillow and Hugging Face make of the files in Tests/Fixtures/image-formats.
struct ImageCases: Sendable {
  /// One file: the CRC-32 of its RGB bytes as stored, and turned upright.
  struct Decoding: Sendable, CustomTestStringConvertible {
    let file: String
    let width: Int
    let height: Int
    let stored: Int
    let upright: Int
    var testDescription: String { file }
  }

  struct Resizing: Sendable, CustomTestStringConvertible {
    let file: String
    let filter: ImageSteps.Filter
    let width: Int
    let height: Int
    let crc: Int
    var testDescription: String { "\(file) to \(width) x \(height), \(filter)" }
  }

  struct Preprocessing: Sendable, CustomTestStringConvertible {
    let file: String
    let steps: ImageSteps
    /// `[3, height, width]`.
    let shape: [Int]
    /// Of the float32 values, little-endian.
    let crc: Int
    var testDescription: String {
      "\(file), \(steps.resize), crop \(steps.cropSize ?? 0), \(steps.filter)"
    }
  }

  let decoding: [Decoding]
  let resizing: [Resizing]
  let preprocessing: [Preprocessing]

  static let all: ImageCases = {
    do {
      return try ImageCases()
    } catch {
      preconditionFailure("image-formats: \(error)")
    }
  }()

  private init() throws {
    let file = imageCasePath("cases.json")
    let json = try JSONValue(parsing: imageCaseBytes("cases.json"), file: file)
    func numbers(_ value: JSONValue?) throws -> [Double] {
      try (value?.arrayValue ?? []).map { try require($0.doubleValue, "number") }
    }
    let mean = try numbers(json["mean"])
    let deviation = try numbers(json["std"])
    let factor = try require(json["rescale"]?.doubleValue, "rescale")

    decoding = try (json["decode"]?.arrayValue ?? []).map { row in
      Decoding(
        file: try require(row["file"]?.stringValue, "file"),
        width: try require(row["width"]?.integerValue, "width"),
        height: try require(row["height"]?.integerValue, "height"),
        stored: try require(row["stored"]?.integerValue, "stored"),
        upright: try require(row["upright"]?.integerValue, "upright"))
    }
    resizing = try (json["resize"]?.arrayValue ?? []).map { row in
      Resizing(
        file: try require(row["file"]?.stringValue, "file"),
        filter: try require(
          row["filter"]?.stringValue.flatMap(ImageSteps.Filter.init(rawValue:)), "filter"),
        width: try require(row["width"]?.integerValue, "width"),
        height: try require(row["height"]?.integerValue, "height"),
        crc: try require(row["crc"]?.integerValue, "crc"))
    }
    preprocessing = try (json["pixels"]?.arrayValue ?? []).map { row in
      let size = try require(row["size"]?.integerValue, "size")
      let color = (row["color"]?.arrayValue ?? []).compactMap(\.integerValue)
      let resize: ImageSteps.Resize? =
        switch row["resize"]?.stringValue {
        case "shortest_edge": .shortestEdge(size: size)
        case "pad_square": .padSquare(size: size, color: color)
        case "exact": .exact(size: size)
        case "none": ImageSteps.Resize.none
        default: nil
        }
      return Preprocessing(
        file: try require(row["file"]?.stringValue, "file"),
        steps: ImageSteps(
          resize: try require(resize, "resize"),
          filter: try require(
            row["filter"]?.stringValue.flatMap(ImageSteps.Filter.init(rawValue:)), "filter"),
          cropSize: row["crop"]?.integerValue, rescaleFactor: factor, mean: mean,
          standardDeviation: deviation),
        shape: (row["shape"]?.arrayValue ?? []).compactMap(\.integerValue),
        crc: try require(row["crc"]?.integerValue, "crc"))
    }
  }
}

private func require<T>(_ value: T?, _ name: String) throws -> T {
  guard let value else { throw InputError("cases.json", "no \(name)") }
  return value
}

func imageCasePath(_ file: String) -> String {
  let tests = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
  return tests.joined(separator: "/") + "/Fixtures/image-formats/" + file
}

func imageCaseBytes(_ file: String) throws -> [UInt8] {
  let region = try ByteRegion(mapping: imageCasePath(file))
  return region.copy(0..<region.byteCount)
}

/// CRC-32 as zlib and PNG define it (polynomial 0xEDB88320).
func crc32(_ bytes: some Sequence<UInt8>) -> Int {
  var crc: UInt32 = 0xFFFF_FFFF
  for byte in bytes {
    crc = crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
  }
  return Int(~crc)
}

private let crcTable: [UInt32] = (0..<256).map { index in
  (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 0 ? crc >> 1 : 0xEDB8_8320 ^ crc >> 1 }
}

/// The message of the error that `body` throws; nil if it throws none.
func inputProblem(_ body: () throws(InputError) -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return error.description
  }
}
