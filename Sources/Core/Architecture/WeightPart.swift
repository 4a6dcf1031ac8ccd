/// Tensors that a pass over many inputs needs at the same time.
package enum WeightPart: Equatable, Sendable {
  /// Vision tower and projector.
  case images
  case embedding
  /// One decoder layer.
  case layer(Int)
  /// Final norm and head, which may be the embedding.
  case output
}

extension ModelConfiguration {
  /// The tensors of `part`, in execution order.
  package func tensors(of part: WeightPart) -> [TensorSpecification] {
    let groups = tensorGroups
    let firstLayer = groups.count - 1 - text.layerCount
    let embedding = groups[firstLayer - 1]
    switch part {
    case .images: return Array(groups[..<(firstLayer - 1)].joined())
    case .embedding: return embedding
    case .layer(let layer): return groups[firstLayer + layer]
    case .output: return groups[groups.count - 1] + (text.isHeadTied ? embedding : [])
    }
  }
}
