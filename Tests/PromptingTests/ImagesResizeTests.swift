import Architecture
import Prompting
import Testing

@Suite struct ImagesResizeTests {
  @Test(arguments: ImageCases.all.resizing)
  func pixelsAreThoseOfPillow(_ expected: ImageCases.Resizing) throws {
    let image = try RGBImage(ImageSource(path: imageCasePath(expected.file)))
    let resized = image.resized(
      width: expected.width, height: expected.height, filter: expected.filter)
    #expect([resized.width, resized.height] == [expected.width, expected.height])
    #expect(crc32(resized.pixels) == expected.crc)
  }

  @Test(arguments: ImageSteps.Filter.allCases)
  func sameSizeChangesNothing(_ filter: ImageSteps.Filter) throws {
    let image = try RGBImage(ImageSource(path: imageCasePath("source-61x47.png")))
    #expect(image.resized(width: 61, height: 47, filter: filter) == image)
  }

  @Test(arguments: ImageSteps.Filter.allCases)
  func oneColorStaysOneColor(_ filter: ImageSteps.Filter) {
    let image = RGBImage(
      width: 300, height: 200, pixels: (0..<60_000).flatMap { _ in [7, 130, 255] as [UInt8] })
    let resized = image.resized(width: 31, height: 333, filter: filter)
    #expect(
      resized
        == RGBImage(
          width: 31, height: 333, pixels: (0..<31 * 333).flatMap { _ in [7, 130, 255] as [UInt8] }))
  }
}
