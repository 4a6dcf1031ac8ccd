import Architecture
import Prompting
import TensorCore
import Testing

@Suite struct ImagesPreprocessingTests {
  @Test(arguments: ImageCases.all.preprocessing)
  func valuesAreThoseOfHuggingFace(_ expected: ImageCases.Preprocessing) throws {
    let image = try RGBImage(ImageSource(path: imageCasePath(expected.file)))
    let tensor = try expected.steps.pixels(of: image)
    #expect([3, tensor.height, tensor.width] == expected.shape)
    var bytes = ByteWriter()
    for value in tensor.values { bytes.float(value) }
    #expect(crc32(bytes.bytes) == expected.crc)
  }

  private let plain = ImageSteps(
    resize: .none, filter: .bicubic, cropSize: nil, rescaleFactor: 1, mean: [0, 0, 0],
    standardDeviation: [1, 1, 1])

  @Test func channelsComeApartAndAreNormalized() throws {
    var steps = plain
    steps.rescaleFactor = 0.5
    steps.mean = [1, 2, 3]
    steps.standardDeviation = [1, 2, 4]
    let image = RGBImage(width: 2, height: 1, pixels: [10, 20, 30, 40, 50, 60])
    #expect(try steps.pixels(of: image).values == [4, 19, 4, 11.5, 3, 6.75])
  }

  @Test func cropRoundsUpAndLeft() throws {
    var steps = plain
    steps.cropSize = 2
    let gray = RGBImage(width: 5, height: 1, pixels: (1...5).flatMap { [$0, $0, $0] as [UInt8] })
    // (5 - 2) / 2 = 1 column is dropped on the left; a row is added above: (1 - 2) / 2 = -1.
    #expect(try Array(steps.pixels(of: gray).values.prefix(4)) == [0, 0, 2, 3])
  }

  @Test func paddedSquareIsNotMade() throws {
    // The square of this picture would take 12.9 GB.
    var steps = plain
    steps.resize = .padSquare(size: 3, color: [9, 8, 7])
    steps.filter = .bilinear
    let line = RGBImage(
      width: 65_535, height: 1, pixels: [UInt8](repeating: 200, count: 3 * 65_535))
    let tensor = try steps.pixels(of: line)
    #expect(tensor.values[0..<3] == [9, 9, 9])
    #expect(tensor.values[9..<12] == [8, 8, 8])
  }

  @Test func onlyTheCropOfAnElongatedPictureIsMade() throws {
    // Resized as a whole it would be 336 x 22 million.
    var steps = plain
    steps.resize = .shortestEdge(size: 336)
    steps.cropSize = 336
    let line = RGBImage(
      width: 1, height: 65_535, pixels: [UInt8](repeating: 200, count: 3 * 65_535))
    for filter in ImageSteps.Filter.allCases {
      steps.filter = filter
      let tensor = try steps.pixels(of: line)
      let gray = [Float](repeating: 200, count: 3 * 336 * 336)
      #expect(tensor == PixelTensor(width: 336, height: 336, values: gray))
    }
  }

  @Test func refusesWhatCannotBeMade() {
    let line = RGBImage(
      width: 1, height: 65_535, pixels: [UInt8](repeating: 200, count: 3 * 65_535))
    func problem(_ change: (inout ImageSteps) -> Void) -> String? {
      var steps = plain
      change(&steps)
      return inputProblem { () throws(InputError) in _ = try steps.pixels(of: line) }
    }
    #expect(
      problem { $0.resize = .shortestEdge(size: 336) }
        == "a picture of 1 x 65535 pixels becomes 336 x 22019760 by the model's image steps; "
        + "1 to 65535 are accepted")
    #expect(
      problem { $0.resize = .exact(size: 0) }
        == "the model's image steps resize to 0; 1 to 65535 expected")
    #expect(
      problem { $0.resize = .exact(size: 65_536) }
        == "the model's image steps resize to 65536; 1 to 65535 expected")
    #expect(problem { $0.cropSize = 0 }?.contains("becomes 0 x 0") == true)
    #expect(problem { $0.cropSize = .max }?.contains("becomes 0 x 0") == true)
    #expect(
      problem { $0.mean = [0.5] }
        == "the model's image steps give 1 values of mean; 3 expected")
    #expect(
      problem { $0.resize = .padSquare(size: 3, color: []) }
        == "the model's image steps give 0 values of padding colour; 3 expected")
  }
}
