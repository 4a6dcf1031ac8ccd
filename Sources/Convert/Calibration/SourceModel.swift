package import Architecture
package import Inference
package import Kernels
package import Prompting
package import TensorCore

/// A model with the weights of its source, one part of which is in memory at a time.
package struct SourceModel {
  private let model: Model
  private let enter: (WeightPart?) throws(InputError) -> Void

  /// - Parameters:
  ///   - model: over weights that are there after `enter`.
  ///   - enter: brings a part of the weights into memory in place of the one before.
  package init(_ model: Model, enter: @escaping (WeightPart?) throws(InputError) -> Void) {
    self.model = model
    self.enter = enter
  }

  /// The logits of the full pass at the answer rows of each input, `[answer rows, vocabularySize]`.
  ///
  /// - Parameters:
  ///   - inputs: prompts and answers; the image rows are those of this model.
  ///   - pixels: the images of an input, by its index.
  ///   - progress: takes the share done, 0...1; false ends the pass.
  /// - Returns: nil if `progress` ended it.
  package func logits(
    _ inputs: [SweepInput], pixels: (Int) throws(InputError) -> [PixelTensor],
    progress: (Double) -> Bool
  ) throws(InputError) -> [Rows]? {
    var inputs = inputs
    if inputs.contains(where: { $0.visual != nil }) { try enter(.images) }
    for index in inputs.indices where inputs[index].visual != nil {
      inputs[index].visual = try model.encode(try pixels(index))
    }
    let layerCount = Double(model.configuration.text.layerCount)
    let normed = try FullPass(model, precision: .f32).run(
      inputs, entering: enter, progress: { progress(Double($0) / layerCount) })
    let logits = normed.map { $0.map(model.decoder.logits) }
    try enter(nil)
    return logits
  }
}
