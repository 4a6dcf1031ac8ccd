/// How far a calibration is.
package struct CalibrationProgress {
  /// 0...1, of all samples.
  package var share: Double
  /// The samples that go through the layers now; nil while some are prepared.
  package var samples: Range<Int>?
  /// The layer that they go through, in `0 ..< layerCount`.
  package var layer: Int?
}
