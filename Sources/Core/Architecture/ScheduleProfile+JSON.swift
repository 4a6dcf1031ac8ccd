package import TensorCore

extension ScheduleProfile {
  /// `[[first layer, last layer + 1, what happens to visual rows]]`, as every program writes it.
  package var segmentsJSON: JSONValue {
    .array(
      segments.map { segment in
        [
          .integer(segment.layers.lowerBound), .integer(segment.layers.upperBound),
          .string(segment.visualState.name),
        ]
      })
  }
}
