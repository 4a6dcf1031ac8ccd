package import Architecture

/// The parts of a model that packing treats apart.
package enum ModelPart: String, CaseIterable, Sendable {
  case decoder = "decoder layers"
  case embedding = "embedding"
  case head = "head"
  case vision = "vision tower"
  case projector = "projector"

  /// The part that tensors of `role` belong to.  A tied head is the embedding.
  package init(of role: TensorRole) {
    switch role {
    case .embedding: self = .embedding
    case .head, .finalNorm: self = .head
    default:
      self =
        role.rawValue < TensorRole.classEmbedding.rawValue
        ? .decoder : role.rawValue < TensorRole.projectorIn.rawValue ? .vision : .projector
    }
  }
}
