import Architecture
import TensorCore

/// The tensors of a model, sorted out by what they are.
struct NamedTensors {
  /// Where they come from and how they are called there; what belongs to no other comes from the
  /// first.
  private var sources: [(path: String, names: NameTable)]
  var byKey: [TensorKey: SourceTensor] = [:]
  /// Names without a meaning.
  var unknown: [String] = []

  init(
    _ tensors: [String: SourceTensor], source: String, names: NameTable = WeightNames.table
  ) throws(InputError) {
    sources = [(source, names)]
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      switch names.meaning(of: name) {
      case .tensor(let key):
        if let other = byKey.updateValue(tensor, forKey: key) {
          throw InputError(
            source,
            """
            tensors '\(printable(other.name))' and '\(printable(name))' are both \(key)
            """)
        }
      case .ignored: break
      case .unknown: unknown.append(name)
      }
    }
  }

  static func isVision(_ key: TensorKey) -> Bool {
    (TensorRole.classEmbedding.rawValue..<TensorRole.projectorIn.rawValue)
      .contains(key.role.rawValue)
  }

  var hasVision: Bool { byKey.keys.contains(where: Self.isVision) }

  /// Takes the vision tower of `other`, which may hold more than that.
  mutating func addVision(of other: NamedTensors) {
    for (key, tensor) in other.byKey where Self.isVision(key) { byKey[key] = tensor }
    unknown += other.unknown
  }

  /// Takes all tensors of `other`, which are of other roles.
  mutating func add(_ other: NamedTensors) {
    for (key, tensor) in other.byKey { byKey[key] = tensor }
    unknown += other.unknown
    sources += other.sources
  }

  /// Lets a lone head serve as the embedding too, as transformers 5 does.
  ///
  /// - Parameter isTied: what the configuration says.
  /// - Returns: whether there is one matrix of both.
  mutating func tieHead(_ isTied: Bool) -> Bool {
    guard isTied, let head = byKey[TensorKey(.head)] else { return isTied }
    guard byKey[TensorKey(.embedding)] == nil else { return false }
    byKey[TensorKey(.embedding)] = head
    byKey[TensorKey(.head)] = nil
    return true
  }

  /// The tensors that `model` needs, each checked.
  func take(for model: ModelConfiguration) throws(InputError) -> [TensorKey: SourceTensor] {
    var taken: [TensorKey: SourceTensor] = [:]
    for specification in model.tensorGroups.joined() {
      let key = specification.key
      guard let found = byKey[key] else {
        let (path, ending) = expectedName(of: key)
        throw InputError(
          path,
          "tensor \(key) \(specification.shape) is missing (a name that ends in '\(ending)')")
      }
      let name = printable(found.name)
      guard found.format.isReadable else {
        throw InputError(
          found.region.name,
          "'\(name)' is \(found.format.name); \(sources[0].names.readableTypes) is needed")
      }
      // The convolution over patches is a matrix here: its input is one patch, channel by channel.
      let patch = model.vision.map { [$0.hiddenSize, 3, $0.patchSize, $0.patchSize] } ?? []
      let expected = key.role == .patchEmbedding ? Shape(patch) : specification.shape
      guard found.shape == expected, let tensor = found.reshaped(to: specification.shape) else {
        throw InputError(
          found.region.name, "'\(name)' is \(found.shape); the configuration needs \(expected)")
      }
      taken[key] = tensor
    }
    return taken
  }

  /// The source that should have `key`, and how its name ends there.
  private func expectedName(of key: TensorKey) -> (path: String, ending: String) {
    for (path, names) in sources {
      if let ending = names.ending(of: key) { return (path, ending) }
    }
    return (sources[0].path, key.description)
  }

  /// Names of tensors that `model` has no place for, besides those that are known to be unused.
  func extra(beside model: ModelConfiguration) -> [String] {
    let needed = Set(model.tensorGroups.joined().map(\.key))
    let rest = byKey.filter { key, _ in
      if needed.contains(key) { return false }
      // The tower is cut after the last layer that any feature needs.
      let isBeyondTower = Self.isVision(key) && (key.layer ?? -1) >= (model.vision?.layerCount ?? 0)
      return !(isBeyondTower && model.vision != nil)
    }
    return (unknown + rest.values.map(\.name)).sorted()
  }
}
