package import Architecture
import TensorCore

/// Where each tensor lies in its weight section: follows from configuration and encodings alone.
struct WeightLayout {
  struct Tensor {
    var specification: TensorSpecification
    /// The `WGTS` instance.
    var group: Int
    var layout: TileLayout
    /// From the start of the section.
    var range: Range<Int>

    var key: TensorKey { specification.key }
  }

  /// In the order of the file.
  private(set) var tensors: [Tensor] = []
  /// Bytes of each group, to the end of its last tensor.
  private(set) var groupSizes: [Int] = []

  /// Nil if a size overflows.
  init?(
    _ configuration: ModelConfiguration, alignment: Int,
    encoding: (TensorSpecification) -> Encoding
  ) {
    for (group, specifications) in configuration.tensorGroups.enumerated() {
      var end = 0
      for specification in specifications {
        let extents = specification.shape.dimensions
        guard let rows = extents.first, let columns = checkedProduct(extents.dropFirst()),
          let layout = TileLayout(encoding(specification), rows: rows, columns: columns),
          let start = roundedUp(end, to: alignment),
          let next = checkedSum(start, layout.byteCount)
        else { return nil }
        end = next
        tensors.append(
          Tensor(specification: specification, group: group, layout: layout, range: start..<end))
      }
      groupSizes.append(end)
    }
  }
}

extension ModelConfiguration {
  /// The group of decoder layer 0 among `tensorGroups`.
  var firstLayerGroup: Int { vision != nil && projector != nil ? 3 : 1 }
}

/// Tensors that are used together and lie together: one `WGTS` section.
package struct TensorGroup: Equatable, Sendable {
  package enum Kind: Equatable, Sendable {
    case vision
    case projector
    case embedding
    /// One decoder layer.
    case layer(Int)
    /// Final norm and head.
    case output
  }

  package let kind: Kind
  /// From the start of the file; whole pages, but for the end of the last one.
  package let byteRange: Range<Int>
  package let keys: [TensorKey]

  package var name: String {
    switch kind {
    case .vision: "vision"
    case .projector: "projector"
    case .embedding: "embedding"
    case .layer(let layer): "layer \(layer)"
    case .output: "output"
    }
  }

  /// What the group at `index` of a model's `tensorGroups` is.
  static func kind(at index: Int, of configuration: ModelConfiguration) -> Kind {
    switch index - configuration.firstLayerGroup {
    case -3: .vision
    case -2: .projector
    case -1: .embedding
    case configuration.text.layerCount: .output
    case let layer: .layer(layer)
    }
  }
}
