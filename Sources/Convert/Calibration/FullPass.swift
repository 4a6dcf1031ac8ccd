import Architecture
package import Inference
package import Kernels
import Prompting
import TensorCore
import Glibc

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
  ///   - progress: called with the number of layers done.
  /// - Returns: per input the rows that enter the head, `[answer rows, hiddenSize]`.
  @discardableResult
  package func run(
    _ inputs: [SweepInput], observe: InputObserver? = nil, progress: (Int) -> Void = { _ in }
  ) -> [Rows] {
    let text = model.configuration.text
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
      for (rows, input) in zip(hidden, inputs) {
        let mode = unsafe getenv("MODE").map { unsafe atoi($0) } ?? 0
        var wrapped = observe
        if mode > 0, let obs = observe {
          wrapped = { role, layer, x in
            var keep: [Int] = []
            for r in 0..<x.count {
              let c = input.input.classes[r]
              if mode >= 4 { keep.append(r); continue }
              if mode == 1 ? c != .visual : (mode == 2 ? input.answerRows.contains(r) : (mode == 3 ? r > 0 : false)) { keep.append(r) }
            }
            let y = Rows(count: keep.count, width: x.width)
            for (i, r) in keep.enumerated() { y[i..<i+1].copyRows(from: x[r..<r+1]) }
            if mode == 4 {
              for i in 0..<y.count {
                let one = y[i..<i+1]
                var v = one.copy()
                var t: Float = 1e-20
                for z in v { t += z * z }
                let f = 1 / t.squareRoot()
                for j in v.indices { v[j] *= f }
                one.fill(from: v)
              }
            }
            if mode == 5 {
              let nv = input.input.classes.filter { $0 == .visual }.count
              let nt = x.count - nv
              for i in 0..<y.count {
                let one = y[i..<i+1]
                var v = one.copy()
                let f = (input.input.classes[i] == .visual ? 0.5 / Float(nv) : 0.5 / Float(nt)).squareRoot()
                for j in v.indices { v[j] *= f }
                one.fill(from: v)
              }
            }
            obs(role, layer, y)
          }
        }
        cache.removeAll()
        model.decoder.run(
          layer, rows, positions: (0..<rows.count).map(Int32.init),
          streams: [RowStream(rows: 0..<rows.count, cache: cache)], scratch: scratch,
          observe: wrapped)
      }
      progress(layer + 1)
    }
    return zip(inputs, hidden).map { input, rows in
      let normed = model.decoder.finalNorm(rows[input.answerRows])
      observe?(.head, nil, normed)
      return normed
    }
  }
}
