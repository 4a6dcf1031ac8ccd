package import Architecture
package import Inference
package import Kernels
import Prompting
package import TensorCore

/// The model over a batch of prompts with their answers, layer by layer: the weights of a layer are
/// read once for the whole batch.
package struct FullPass {
  private let model: Model
  private let precision: KeyValueRows.Precision
  private let profile: ScheduleProfile

  /// - Parameter profile: which rows run where; nil for all in all layers.
  package init(
    _ model: Model, precision: KeyValueRows.Precision, profile: ScheduleProfile? = nil
  ) {
    self.model = model
    self.precision = precision
    let layerCount = model.configuration.text.layerCount
    self.profile = profile ?? ScheduleProfile(withdrawingAt: layerCount, of: layerCount)
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
    var batch = inputs.map { input in
      let rows = Rows(count: input.input.ids.count, width: text.hiddenSize)
      model.embed(input.input, visual: input.visual, into: rows)
      return DecoderRows(
        hidden: rows, positions: (0..<rows.count).map(Int32.init), classes: input.input.classes)
    }
    let longest = max(1, batch.map(\.count).max() ?? 1)
    let scratch = Scratch(text, capacity: longest)
    let cache = KeyValueRows(
      capacity: longest, keyValueHeads: text.keyValueHeadCount,
      headDimension: text.headDimension, precision: precision)
    for segment in profile.segments {
      let arranged = batch.indices.map { index in
        batch[index].withdraw(allBut: segment.classes)
        return batch[index].freeze(segment.frozen)
      }
      for layer in segment.layers {
        try enter(.layer(layer))
        for rows in arranged {
          cache.removeAll()
          model.decoder.run(layer, rows, cache: cache, scratch: scratch, observe: observe)
        }
        guard progress(layer + 1) else { return nil }
      }
      for (index, rows) in arranged.enumerated() { batch[index].restore(rows) }
    }
    try enter(.output)
    return zip(inputs, batch).map { input, rows in
      // Answer rows are text, which stays together behind the last image.
      let behind = rows.count - (input.input.ids.count - input.answerRows.lowerBound)
      let normed = model.decoder.finalNorm(
        rows.hidden[behind..<behind + input.answerRows.count])
      observe?(.head, nil, normed)
      return normed
    }
  }
}
