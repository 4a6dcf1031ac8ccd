package import Architecture

/// The names that one kind of checkpoint gives to tensors.
///
/// No rest begins like the end of a longer prefix, so every prefix may be tried on every name and
/// no spelling has to be recognised first.
package struct NameTable: Sendable {
  /// What a name stands for.
  package enum Meaning: Equatable {
    case tensor(TensorKey)
    /// Not needed by any model here: buffers, unused heads, CLIP's text model.
    case ignored
    case unknown
  }

  /// Tensors that share their prefixes.
  struct Part: Sendable {
    let prefixes: [String]
    var single: [String: TensorRole] = [:]
    /// Comes before the number of a layer.
    var layers = "layers."
    var perLayer: [String: TensorRole] = [:]
    var ignored: Set<String> = []
  }

  let parts: [Part]
  var ignoredSuffixes: [String] = []
  var ignoredPrefixes: [String] = []
  /// Number types that weights may have, for messages.
  var readableTypes = "F32, F16 or BF16"

  /// The meaning of a source's tensor name.
  func meaning(of name: String) -> Meaning {
    for part in parts {
      for prefix in part.prefixes where name.hasPrefix(prefix) {
        let rest = name.dropFirst(prefix.count)
        if let role = part.single[String(rest)] { return .tensor(TensorKey(role)) }
        if rest.hasPrefix(part.layers),
          let (layer, tail) = Self.number(rest.dropFirst(part.layers.count)),
          let role = part.perLayer[String(tail)]
        {
          return .tensor(TensorKey(role, layer: layer))
        }
        if part.ignored.contains(String(rest)) { return .ignored }
      }
    }
    let isIgnored =
      ignoredSuffixes.contains(where: name.hasSuffix)
      || ignoredPrefixes.contains(where: name.hasPrefix)
    return isIgnored ? .ignored : .unknown
  }

  /// How names for `key` end, for messages; nil if there are none.
  func ending(of key: TensorKey) -> String? {
    for part in parts {
      if let layer = key.layer {
        if let tail = part.perLayer.first(where: { $0.value == key.role })?.key {
          return "\(part.layers)\(layer).\(tail)"
        }
      } else if let name = part.single.filter({ $0.value == key.role }).map(\.key).min() {
        return name
      }
    }
    return nil
  }

  /// A layer number in its shortest form and what follows its dot.
  private static func number(_ text: Substring) -> (Int, Substring)? {
    guard let dot = text.firstIndex(of: "."), let number = Int(text[..<dot]), number >= 0,
      String(number) == text[..<dot]
    else { return nil }
    return (number, text[text.index(after: dot)...])
  }
}
