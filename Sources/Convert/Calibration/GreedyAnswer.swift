package import Inference
package import Kernels
package import Prompting
package import TensorCore
import Architecture

/// What the full model answers by itself, with all that a sweep needs of that pass.
package struct FullPassRecord {
  /// The text rows after the first image as they enter each layer, and as they leave the last, one
  /// layer after another, `[(layerCount + 1) * rows, hiddenSize]`.
  package var branchStarts: Rows
  /// How these rows share out their attention.
  package var migration: MigrationSums
  /// At the prompt's last row and each answer row, `[answer rows, vocabularySize]`.
  package var logits: Rows
}

/// The full model's greedy answer to one prompt.
package struct GreedyAnswer {
  /// Ends with an end-of-text token, or has as many tokens as were asked for.
  package let ids: [Int32]
  package let record: FullPassRecord
  package let work: SweepWork

  /// - Parameters:
  ///   - visual: the rows of its images, `[visual rows, hiddenSize]`; nil without images.
  ///   - mostTokens: at least 1.
  /// - Throws: `InputError` if the model's numbers are no numbers.
  package init(
    _ prompt: ModelInput, visual: Rows?, mostTokens: Int, model: Model,
    precision: KeyValueRows.Precision
  ) throws(InputError) {
    let text = model.configuration.text
    let most = min(prompt.ids.count + mostTokens - 1, text.contextLength)
    let caches = (0..<text.layerCount).map { _ in
      KeyValueRows(
        capacity: most, keyValueHeads: text.keyValueHeadCount,
        headDimension: text.headDimension, precision: precision)
    }
    let chosen = SweepInput(input: prompt, visual: visual, answerRows: 0..<0).branchRows
    let meters =
      chosen.isEmpty
      ? []
      : (0..<text.layerCount).map { _ in
        AttentionMeter(model, capacity: most, precision: precision)
      }
    var migration = MigrationSums(
      layerCount: text.layerCount, firstAnswerRow: prompt.ids.count - 1)
    let scratch = Scratch(text, capacity: prompt.ids.count)
    var layers = (0...text.layerCount).map { _ in [Rows]() }
    var logits: [Rows] = []
    var sampler = Sampler(SamplingOptions())
    var ids: [Int32] = []
    var work = SweepWork()

    var hidden = Rows(count: prompt.ids.count, width: text.hiddenSize)
    model.embed(prompt, visual: visual, into: hidden)
    var kept = chosen
    var classes = prompt.classes[...]
    var position = 0
    while true {
      for layer in 0..<text.layerCount {
        layers[layer].append(hidden.gathered(kept))
        work.add(rows: hidden.count, seen: caches[layer].count)
        var shares: [[Double]] = []
        model.decoder.run(
          layer, hidden, positions: (position..<position + hidden.count).map(Int32.init),
          streams: [RowStream(rows: 0..<hidden.count, cache: caches[layer])], scratch: scratch,
          observeAttention: kept.isEmpty
            ? nil
            : { keys, queries in
              shares = meters[layer].shares(
                keys: keys, queries: queries, classes: classes, watched: kept)
            })
        let rows = kept.map { position + $0 }
        migration.add(shares: shares, of: rows, in: layer)
        work.add(pairsOf: rows)
      }
      layers[text.layerCount].append(hidden.gathered(kept))
      position += hidden.count
      let last = model.decoder.logits(
        model.decoder.finalNorm(hidden[hidden.count - 1..<hidden.count]))
      logits.append(last)
      let id = try sampler.next(last)
      ids.append(id)
      let isEnd = model.configuration.endOfTextIDs.contains(Int(id))
      if isEnd || ids.count == mostTokens || position == most { break }
      hidden = Rows(count: 1, width: text.hiddenSize)
      model.decoder.embed([id], into: hidden)
      kept = chosen.isEmpty ? [] : [0]
      classes = [.generated]
    }
    self.ids = ids
    self.work = work
    record = FullPassRecord(
      branchStarts: Rows(joining: layers.flatMap { $0 }, width: text.hiddenSize),
      migration: migration,
      logits: Rows(joining: logits, width: text.vocabularySize))
  }
}

extension Rows {
  /// Copies of the rows `indices`, in that order.
  fileprivate func gathered(_ indices: [Int]) -> Rows {
    let rows = Rows(count: indices.count, width: width)
    rows.copyRows(indices, of: self)
    return rows
  }

  /// Copies of `parts`, one below the other.
  fileprivate init(joining parts: [Rows], width: Int) {
    self.init(count: parts.reduce(0) { $0 + $1.count }, width: width)
    var next = 0
    for part in parts {
      self[next..<next + part.count].copyRows(from: part)
      next += part.count
    }
  }
}
