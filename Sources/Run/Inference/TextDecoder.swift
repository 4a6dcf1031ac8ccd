package import Architecture
package import Kernels
import TensorCore

/// Rows of one sequence inside a batch: they attend to their own cache and to nothing else.
package struct RowStream {
  package var rows: Range<Int>
  package var cache: KeyValueRows

  package init(rows: Range<Int>, cache: KeyValueRows) {
    self.rows = rows
    self.cache = cache
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
  /// Between two segments the rows that the next one does not see are withdrawn; nothing else in
  /// the engine knows of images.
  package func forward(
    _ rows: inout DecoderRows, profile: ScheduleProfile, cache: KeyValueCache, scratch: Scratch,
    trace: Trace? = nil
  ) {
    for segment in profile.segments {
      rows.withdraw(allBut: segment.classes)
      let frozen = rows.classes.map { segment.frozen.contains($0) }
      for layer in segment.layers {
        trace?.record(hidden: rows.hidden, layer: layer)
        guard rows.count > 0 else { continue }
        run(
          layer, rows.hidden, positions: rows.positions,
          streams: [RowStream(rows: 0..<rows.count, cache: cache.layers[layer])],
          frozen: frozen.contains(true) ? frozen : nil, scratch: scratch)
      }
    }
    trace?.record(hidden: rows.hidden, layer: configuration.layerCount)
  }

  /// Runs one layer over `x` in place.
  ///
  /// - Parameters:
  ///   - x: `[rows, hiddenSize]`, at most the scratch's capacity.
  ///   - positions: one per row.
  ///   - streams: cover the rows once, in order; each row sees what its stream's cache holds and
  ///     the rows of its stream up to itself.
  ///   - frozen: rows that give keys and values but are not updated; nil if none.
  ///   - observe: is shown the inputs of the layer's products.
  ///   - observeAttention: is shown the keys and queries of each stream.
  package func run(
    _ layer: Int, _ x: Rows, positions: [Int32], streams: [RowStream], frozen: [Bool]? = nil,
    scratch: Scratch, observe: InputObserver? = nil, observeAttention: AttentionObserver? = nil
  ) {
    let weights = weights.layers[layer]
    let count = x.count
    let live = frozen.map { frozen in (0..<count).filter { !frozen[$0] } }
    let liveCount = live?.count ?? count
    let normed = scratch.normed[0..<count]
    let key = scratch.key[0..<count]
    let value = scratch.value[0..<count]
    let query = scratch.query[0..<liveCount]
    let attended = scratch.attended[0..<liveCount]

    // Attention
    compute.rmsNorm(
      x, weight: weights.attentionNorm, epsilon: configuration.normEpsilon, into: normed)
    observe?(.query, layer, normed)
    if let live {
      compute.multiply(normed, weights.keyValue, into: [key, value])
      compute.multiply(gather(live, of: normed, scratch), weights.query, into: query)
    } else {
      compute.multiply(normed, weights.queryKeyValue, into: [query, key, value])
    }
    let keyRotation = compute.rotation(to: positions, frequencies: frequencies)
    let queryRotation =
      live.map { compute.rotation(to: $0.map { positions[$0] }, frequencies: frequencies) }
      ?? keyRotation
    var firstQuery = 0
    for stream in streams {
      let seen = stream.cache.count
      scratch.visible.removeAll(keepingCapacity: true)
      for row in stream.rows where frozen?[row] != true {
        scratch.visible.append(Int32(seen + row - stream.rows.lowerBound + 1))
      }
      let queries = firstQuery..<firstQuery + scratch.visible.count
      compute.append(
        keys: key[stream.rows], values: value[stream.rows],
        keyRotation: keyRotation[stream.rows], queries: query[queries],
        queryRotation: queryRotation[queries], to: stream.cache)
      observeAttention?(key[stream.rows], query[queries])
      compute.attend(
        query[queries], to: stream.cache, headCount: configuration.headCount, scale: scale,
        visible: scratch.visible, into: attended[queries])
      firstQuery = queries.upperBound
    }

    // Output projection and feed-forward, over the rows that are updated.
    let updated = live.map { gather($0, of: x, scratch) } ?? x
    observe?(.attentionOutput, layer, attended)
    compute.multiply(attended, weights.attentionOutput, .add, into: updated)
    let inner = scratch.normed[0..<liveCount]
    let gated = scratch.gated[0..<liveCount]
    compute.rmsNorm(
      updated, weight: weights.feedForwardNorm, epsilon: configuration.normEpsilon, into: inner)
    observe?(.gate, layer, inner)
    compute.multiplyGated(
      inner, gate: weights.gate, up: weights.up, configuration.activation.kernel, into: gated)
    observe?(.down, layer, gated)
    compute.multiply(gated, weights.down, .add, into: updated)
    if let live {
      for (place, row) in live.enumerated() {
        x[row..<row + 1].copyRows(from: updated[place..<place + 1])
      }
    }
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

  /// Copies the rows `indices` of `x` together.
  private func gather(_ indices: [Int], of x: Rows, _ scratch: Scratch) -> Rows {
    let target = scratch.live[0..<indices.count]
    target.copyRows(indices, of: x)
    return target
  }
}
