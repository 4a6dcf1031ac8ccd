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

  /// The states as records name them: `freeze` and `withdraw`, the layers where visual rows freeze
  /// and leave, or else `updated`, the layers in which they are updated.
  package static func recordMembers(_ states: [VisualState]) -> JSONObject {
    let freeze = states.firstIndex { $0 != .full } ?? states.count
    let withdraw = states.firstIndex(of: .withdrawn) ?? states.count
    let bounds: JSONValue = ["freeze": .integer(freeze), "withdraw": .integer(withdraw)]
    if Self.states(bounds, layerCount: states.count) == states {
      return bounds.objectValue ?? JSONObject()
    }
    return JSONObject([
      (
        "updated",
        .array(states.indices.filter { states[$0] == .full }.map(JSONValue.integer))
      )
    ])
  }

  /// The states that an object of a record names; nil if it names none of a model of so many layers.
  package static func states(_ record: JSONValue, layerCount: Int) -> [VisualState]? {
    if let updated = record["updated"]?.arrayValue {
      let layers = updated.compactMap(\.integerValue)
      guard layers.count == updated.count, layers.allSatisfy((0..<layerCount).contains) else {
        return nil
      }
      let full = Set(layers)
      return (0..<layerCount).map { full.contains($0) ? .full : .frozen }
    }
    guard let freeze = record["freeze"]?.integerValue,
      let withdraw = record["withdraw"]?.integerValue, 0 <= freeze, freeze <= withdraw,
      withdraw <= layerCount
    else { return nil }
    return (0..<layerCount).map { $0 < freeze ? .full : $0 < withdraw ? .frozen : .withdrawn }
  }
}
