package import Architecture
package import Inference
package import Kernels
import Prompting
package import TensorCore

/// The full model over a batch of prompts with their answers, layer by layer: the weights of a
/// layer are read once for the whole batch.
package struct FullPass {
  private let model: Model
  private let precision: KeyValueRows.Precision

  package init(_ model: Model, precision: KeyValueRows.Precision) {
    self.model = model
    self.precision = precision
  }

  /// Bytes that a sample of `rows` rows holds during the pass.
  package static func byteCount(_ rows: Int, of model: Model) -> Int {
    rows * model.configuration.text.hiddenSize * 4
  }

  /// Runs `inputs` through all layers.
  ///
  /// - Parameters:
  ///   - observe: is shown the inputs of every product, layer by layer and within it input by
  ///     input; of the head, the rows that predict answers.
  ///   - enter: called before the first product with a part of the weights.
  ///   - progress: takes the number of layers done; false ends the pass.
  /// - Returns: per input the rows that enter the head, `[answer rows, hiddenSize]`; nil if
  ///   `progress` ended the pass.
  /// - Throws: by `enter`.
  @discardableResult
  package func run(
    _ inputs: [SweepInput], observe: InputObserver? = nil,
    entering enter: (WeightPart) throws(InputError) -> Void = { _ in },
    progress: (Int) -> Bool = { _ in true }
  ) throws(InputError) -> [Rows]? {
    let text = model.configuration.text
    try enter(.embedding)
    let hidden = inputs.map { input in
      let rows = Rows(count: input.input.ids.count, width: text.hiddenSize)
      model.embed(input.input, visual: input.visual, into: rows)
      return rows
    }
    let longest = max(1, hidden.map(\.count).max() ?? 1)
    let scratch = Scratch(text, capacity: longest)
    let cache = KeyValueRows(
      capacity: longest, keyValueHeads: text.keyValueHeadCount,
      headDimension: text.headDimension, precision: precision)
    for layer in 0..<text.layerCount {
      try enter(.layer(layer))
      for rows in hidden {
        cache.removeAll()
        model.decoder.run(
          layer, rows, positions: (0..<rows.count).map(Int32.init),
          streams: [RowStream(rows: 0..<rows.count, cache: cache)], scratch: scratch,
          observe: observe)
      }
      guard progress(layer + 1) else { return nil }
    }
    try enter(.output)
    return zip(inputs, hidden).map { input, rows in
      let normed = model.decoder.finalNorm(rows[input.answerRows])
      observe?(.head, nil, normed)
      return normed
    }
  }
}
