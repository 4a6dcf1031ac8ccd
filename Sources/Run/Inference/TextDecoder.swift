package import Architecture
package import Kernels
import TensorCore

/// Rows of one sequence inside a batch: they attend to their own cache and to nothing else.
package struct RowStream {
  /// Rows that are updated, among those of the batch.
  package var rows: Range<Int>
  package var cache: KeyValueRows
  /// Rows that give keys and values only, among the frozen ones of the batch.
  package var frozen: Range<Int>
  /// How both follow each other in the sequence; nil without frozen rows.
  package var order: FrozenOrder?

  package init(rows: Range<Int>, cache: KeyValueRows) {
    self.rows = rows
    self.cache = cache
    frozen = 0..<0
  }

  package init(rows: Range<Int>, frozen: Range<Int>, order: FrozenOrder, cache: KeyValueRows) {
    precondition(
      order.liveCount == rows.count && order.frozenCount == frozen.count,
      "\(rows.count) and \(frozen.count) rows in the order of \(order.liveCount) and "
        + "\(order.frozenCount)")
    self.rows = rows
    self.cache = cache
    self.frozen = frozen
    self.order = order
  }

  /// The rows in the order of the sequence, in parts of one kind.
  fileprivate var parts: [(isFrozen: Bool, rows: Range<Int>)] {
    guard let order else { return [(false, rows)] }
    return order.runs.map { run in
      let start = run.isFrozen ? frozen.lowerBound : rows.lowerBound
      return (run.isFrozen, start + run.rows.lowerBound..<start + run.rows.upperBound)
    }
  }
}

/// The LLaMA decoder.  One layer is
///
///     x += attention(RMSNorm(x)) · Oᵀ            with rotary positions and grouped queries
///     x += (act(RMSNorm(x) · Gateᵀ) * (RMSNorm(x) · Upᵀ)) · Downᵀ
package struct TextDecoder: Sendable {
  package let configuration: TextConfiguration
  private let weights: DecoderWeights
  private let compute: Compute
  private let frequencies: [Float]
  /// What scores of attention are multiplied by.
  package let scale: Float

  init(_ configuration: TextConfiguration, _ weights: DecoderWeights, _ compute: Compute) {
    self.configuration = configuration
    self.weights = weights
    self.compute = compute
    frequencies = configuration.rope.frequencies(dimension: configuration.headDimension)
    scale = 1 / Float(configuration.headDimension).squareRoot()
  }

  /// Makes room for `rows` rows in the engine, whose layers then allocate nothing.
  package func reserve(rows: Int) { compute.reserve(rows: rows, for: weights.matrices) }

  /// The embeddings of `ids`, `[ids.count, hiddenSize]`.
  package func embed(_ ids: [Int32], into x: Rows) {
    compute.gather(ids, of: weights.embedding, into: x)
  }

  /// Runs `rows` through all layers as `profile` says, appending to `cache`.
  ///
  /// Between two segments the rows that the next one does not see are withdrawn, and those that it
  /// freezes are set apart; nothing else in the engine knows of images.  Rows that the last layer
  /// freezes are dropped at the end: they predict nothing.
  package func forward(
    _ rows: inout DecoderRows, profile: ScheduleProfile, cache: KeyValueCache, scratch: Scratch,
    trace: Trace? = nil
  ) {
    for segment in profile.segments {
      rows.withdraw(allBut: segment.classes)
      let arranged = rows.freeze(segment.frozen)
      for layer in segment.layers {
        trace?.record(rows, arranged.order, layer: layer)
        run(layer, arranged, cache: cache.layers[layer], scratch: scratch)
      }
      rows.restore(arranged)
    }
    trace?.record(rows, nil, layer: configuration.layerCount)
    if let last = profile.segments.last {
      rows.withdraw(allBut: last.classes.subtracting(last.frozen))
    }
  }

  /// Runs one layer over the rows of one sequence in place.
  package func run(
    _ layer: Int, _ rows: SegmentRows, cache: KeyValueRows, scratch: Scratch,
    observe: InputObserver? = nil
  ) {
    guard rows.live.count + rows.frozen.count > 0 else { return }
    var stream = RowStream(rows: 0..<rows.live.count, cache: cache)
    if let order = rows.order {
      stream = RowStream(
        rows: stream.rows, frozen: 0..<rows.frozen.count, order: order, cache: cache)
    }
    run(
      layer, rows.live, positions: rows.positions, frozen: rows.frozen,
      frozenPositions: rows.frozenPositions, streams: [stream], scratch: scratch,
      observe: observe)
  }

  /// Runs one layer over `x` in place.
  ///
  /// - Parameters:
  ///   - x: `[rows, hiddenSize]`, with the frozen ones at most the scratch's capacity.
  ///   - positions: one per row.
  ///   - frozen: `[frozen rows, hiddenSize]`; they give keys and values, but are not updated.
  ///   - frozenPositions: one per frozen row.
  ///   - streams: cover both kinds of rows once, in order; each row sees what its stream's cache
  ///     holds and the rows of its stream up to itself.
  ///   - observe: is shown the inputs of the layer's products.
  ///   - observeAttention: is shown the keys and queries of each stream without frozen rows.
  package func run(
    _ layer: Int, _ x: Rows, positions: [Int32], frozen: Rows? = nil,
    frozenPositions: [Int32] = [], streams: [RowStream], scratch: Scratch,
    observe: InputObserver? = nil, observeAttention: AttentionObserver? = nil
  ) {
    let weights = weights.layers[layer]
    let live = 0..<x.count
    let normed = scratch.normed[live]
    let query = scratch.query[live]
    let attended = scratch.attended[live]
    let key = scratch.key[live]
    let value = scratch.value[live]

    // Attention
    compute.rmsNorm(
      x, weight: weights.attentionNorm, epsilon: configuration.normEpsilon, into: normed)
    observe?(.query, layer, normed)
    compute.multiply(normed, weights.queryKeyValue, into: [query, key, value])
    let rotation = compute.rotation(to: positions, frequencies: frequencies)
    var frozenParts: FrozenParts?
    if let frozen, frozen.count > 0 {
      frozenParts = keysAndValues(of: frozen, frozenPositions, layer, behind: x.count, scratch)
    }
    for stream in streams {
      let seen = stream.cache.count
      scratch.visible.removeAll(keepingCapacity: true)
      for part in stream.parts {
        if part.isFrozen {
          guard let frozenParts else { preconditionFailure("a stream of frozen rows without any") }
          compute.append(
            keys: frozenParts.key[part.rows], values: frozenParts.value[part.rows],
            keyRotation: frozenParts.rotation[part.rows], to: stream.cache)
        } else {
          let before = stream.cache.count
          for place in 0..<part.rows.count { scratch.visible.append(Int32(before + place + 1)) }
          compute.append(
            keys: key[part.rows], values: value[part.rows], keyRotation: rotation[part.rows],
            queries: query[part.rows], queryRotation: rotation[part.rows], to: stream.cache)
        }
      }
      precondition(
        stream.cache.count == seen + stream.rows.count + stream.frozen.count, "rows of a stream")
      guard !stream.rows.isEmpty else { continue }
      if stream.order == nil { observeAttention?(key[stream.rows], query[stream.rows]) }
      compute.attend(
        query[stream.rows], to: stream.cache, headCount: configuration.headCount, scale: scale,
        visible: scratch.visible, into: attended[stream.rows])
    }

    // Output projection and feed-forward, over the rows that are updated.
    guard x.count > 0 else { return }
    observe?(.attentionOutput, layer, attended)
    compute.multiply(attended, weights.attentionOutput, .add, into: x)
    let gated = scratch.gated[live]
    compute.rmsNorm(
      x, weight: weights.feedForwardNorm, epsilon: configuration.normEpsilon, into: normed)
    observe?(.gate, layer, normed)
    compute.multiplyGated(
      normed, gate: weights.gate, up: weights.up, configuration.activation.kernel, into: gated)
    observe?(.down, layer, gated)
    compute.multiply(gated, weights.down, .add, into: x)
  }

  /// What frozen rows give to attention.
  private struct FrozenParts {
    var key: Rows
    var value: Rows
    var rotation: Rotation
  }

  /// Keys and values of frozen rows, in the scratch behind the first `first` rows.
  private func keysAndValues(
    of frozen: Rows, _ positions: [Int32], _ layer: Int, behind first: Int, _ scratch: Scratch
  ) -> FrozenParts {
    let weights = weights.layers[layer]
    let range = first..<first + frozen.count
    let (normed, key, value) = (scratch.normed[range], scratch.key[range], scratch.value[range])
    compute.rmsNorm(
      frozen, weight: weights.attentionNorm, epsilon: configuration.normEpsilon, into: normed)
    compute.multiply(normed, weights.keyValue, into: [key, value])
    return FrozenParts(
      key: key, value: value, rotation: compute.rotation(to: positions, frequencies: frequencies))
  }

  /// The final norm of `x`, `[rows, hiddenSize]`.
  package func finalNorm(_ x: Rows) -> Rows {
    let normed = Rows(count: x.count, width: x.width)
    compute.rmsNorm(
      x, weight: weights.finalNorm, epsilon: configuration.normEpsilon, into: normed)
    return normed
  }

  /// The logits of rows that passed the final norm, `[rows, vocabularySize]`.
  package func logits(_ normed: Rows) -> Rows {
    let logits = Rows(count: normed.count, width: configuration.vocabularySize)
    compute.multiply(normed, weights.head, into: logits)
    return logits
  }
}
