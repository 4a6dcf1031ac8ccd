package import Architecture
package import Inference
package import Kernels
package import Prompting
import TensorCore

/// A prompt with the first tokens of its answer, ready for the sweep.
package struct SweepInput {
  /// Prompt rows, then the answer rows that are fed.
  package var input: ModelInput
  /// Rows of its images, `[visual rows, hiddenSize]`; nil without images.
  package var visual: Rows?
  /// Rows whose next token is compared: the prompt's last row and the answer rows.
  package var answerRows: Range<Int>

  package init(input: ModelInput, visual: Rows?, answerRows: Range<Int>) {
    self.input = input
    self.visual = visual
    self.answerRows = answerRows
  }
}

/// Withdraws the visual rows at every layer at once.
///
/// All withdrawal layers K share the full pass below K.  So the layers are walked once: through
/// layer l go the rows of the full pass and the text rows of every branch K <= l, where branch l
/// starts as a copy of the text rows that enter layer l.  A sample costs about two full prefills
/// instead of one per K, and the weights are read once for a whole batch of samples.
package struct LayerSweep {
  private let model: Model
  private let precision: KeyValueRows.Precision

  // Branches of one sample go through a layer together up to this many rows at a time, which
  // bounds the activation memory of a layer.
  private static let groupRows = 1024

  package init(_ model: Model, precision: KeyValueRows.Precision) {
    self.model = model
    self.precision = precision
  }

  /// Hidden states of one sample: rows of the full pass, then of branch 0, 1, …
  private struct State {
    var input: SweepInput
    var textRows: [Int]
    var hidden: Rows
    var positions: [Int32]
    /// Rows of each stream in `hidden`; 0 is the full pass, K + 1 is branch K.
    var streams: [Range<Int>]
  }

  /// Bytes that one sample with these row counts holds during a sweep.
  package static func byteCount(
    rows: Int, textRows: Int, text: TextConfiguration
  ) -> Int {
    (rows + textRows * text.layerCount) * text.hiddenSize * 4
  }

  /// Runs `inputs` through all layers.
  ///
  /// - Parameters:
  ///   - progress: called with the number of layers done.
  ///   - body: called once per input with its index, the logits of the full pass at the answer
  ///     rows, `[answer rows, vocabularySize]`, and those of each branch K in `0..<layerCount`,
  ///     one after another by K, `[layerCount * answer rows, vocabularySize]`.
  package func run(
    _ inputs: [SweepInput], progress: (Int) -> Void, body: (Int, Rows, Rows) -> Void
  ) {
    let text = model.configuration.text
    var states = inputs.map { begin($0, layerCount: text.layerCount) }
    let longest = states.map { $0.input.input.ids.count }.max() ?? 0
    let scratch = Scratch(text, capacity: max(Self.groupRows, longest))
    let caches = (0..<text.layerCount + 1).map { _ in
      KeyValueRows(
        capacity: max(longest, 1), keyValueHeads: text.keyValueHeadCount,
        headDimension: text.headDimension, precision: precision)
    }
    for layer in 0..<text.layerCount {
      for index in states.indices {
        startBranch(layer, of: &states[index])
        advance(states[index], through: layer, caches: caches, scratch: scratch)
      }
      progress(layer + 1)
    }
    for (index, state) in states.enumerated() {
      let answers = state.input.answerRows
      let full = logits(state, stream: 0, rows: Array(answers))
      let textPlaces = state.textRows.indices.filter { answers.contains(state.textRows[$0]) }
      let branches = Rows(
        count: text.layerCount * answers.count, width: text.vocabularySize)
      for k in 0..<text.layerCount {
        branches[k * answers.count..<(k + 1) * answers.count]
          .copyRows(from: logits(state, stream: k + 1, rows: textPlaces))
      }
      body(index, full, branches)
    }
  }

  private func begin(_ input: SweepInput, layerCount: Int) -> State {
    let ids = input.input.ids
    let textRows = ids.indices.filter { ClassMask.text.contains(input.input.classes[$0]) }
    let hidden = Rows(
      count: ids.count + layerCount * textRows.count, width: model.configuration.text.hiddenSize)
    model.embed(input.input, visual: input.visual, into: hidden[0..<ids.count])
    return State(
      input: input, textRows: textRows, hidden: hidden, positions: ids.indices.map(Int32.init),
      streams: [0..<ids.count])
  }

  /// Branch `layer` starts as the text rows of the full pass.
  private func startBranch(_ layer: Int, of state: inout State) {
    let first = state.positions.count
    for (place, row) in state.textRows.enumerated() {
      state.hidden[first + place..<first + place + 1].copyRows(from: state.hidden[row..<row + 1])
      state.positions.append(Int32(row))
    }
    state.streams.append(first..<first + state.textRows.count)
  }

  /// Takes all streams of a sample through `layer`, in groups of whole streams.
  private func advance(
    _ state: State, through layer: Int, caches: [KeyValueRows], scratch: Scratch
  ) {
    var next = 0
    while next < state.streams.count {
      let first = state.streams[next].lowerBound
      var streams: [RowStream] = []
      while next < state.streams.count,
        streams.isEmpty || state.streams[next].upperBound - first <= scratch.capacity
      {
        let rows = state.streams[next]
        caches[next].removeAll()
        streams.append(
          RowStream(
            rows: rows.lowerBound - first..<rows.upperBound - first, cache: caches[next]))
        next += 1
      }
      let group = first..<state.streams[next - 1].upperBound
      model.decoder.run(
        layer, state.hidden[group], positions: Array(state.positions[group]), streams: streams,
        scratch: scratch)
    }
  }

  /// The logits of `rows`, counted from the first row of a stream.
  private func logits(_ state: State, stream: Int, rows: [Int]) -> Rows {
    let first = state.streams[stream].lowerBound
    let chosen = Rows(count: rows.count, width: state.hidden.width)
    for (place, row) in rows.enumerated() {
      chosen[place..<place + 1].copyRows(from: state.hidden[first + row..<first + row + 1])
    }
    return model.decoder.logits(model.decoder.finalNorm(chosen))
  }
}
