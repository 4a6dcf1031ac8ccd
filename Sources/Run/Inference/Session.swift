package import Architecture
package import Kernels
package import Prompting
package import TensorCore

/// One conversation: a cache that grows, and the position of the next row.
package final class Session {
  package let model: Model
  package let profile: ScheduleProfile
  /// How keys and values are held.
  package let precision: KeyValueRows.Precision
  private let cache: KeyValueCache
  private var scratch: Scratch
  /// Rows of the full sequence so far, withdrawn ones included; the next row's position.
  package private(set) var position = 0
  /// Rows seen so far, by raw value of their class.
  private var classCounts = [Int](repeating: 0, count: TokenClass.allCases.count)

  // Long prompts pass in chunks of this many rows, which bounds activation memory; 1024 rows keep
  // the matrix kernels busy.
  private static let chunkRows = 1024

  package init(_ model: Model, profile: ScheduleProfile, precision: KeyValueRows.Precision) {
    self.model = model
    self.profile = profile
    self.precision = precision
    let text = model.configuration.text
    cache = KeyValueCache(text, precision: precision)
    scratch = Scratch(text, capacity: 1)
  }

  /// Rows of `tokenClass` in the sequence so far.
  package func rowCount(of tokenClass: TokenClass) -> Int {
    classCounts[Int(tokenClass.rawValue)]
  }

  /// Rows that fit before the context is full.
  package var room: Int { model.configuration.text.contextLength - position }

  /// Starts anew.
  package func reset() {
    cache.removeAll()
    position = 0
    classCounts = classCounts.map { _ in 0 }
  }

  /// A place in the sequence to come back to.
  package struct Mark {
    fileprivate var position: Int
    fileprivate var classCounts: [Int]
    /// Rows held, by layer.
    fileprivate var rowCounts: [Int]
  }

  /// The present end of the sequence.
  package var mark: Mark {
    Mark(
      position: position, classCounts: classCounts, rowCounts: cache.layers.map(\.count))
  }

  /// Forgets what came after `mark`, which this session gave since it last began anew.
  package func rewind(to mark: Mark) {
    for (layer, count) in zip(cache.layers, mark.rowCounts) { layer.truncate(to: count) }
    position = mark.position
    classCounts = mark.classCounts
  }

  /// Appends a prompt.
  ///
  /// - Parameter visual: the rows of its images, `[visual rows, hiddenSize]`; nil without images.
  /// - Returns: the logits of the last row that is left, `[1, vocabularySize]`.
  /// - Throws: `InputError` if the prompt is empty or does not fit the context; nothing is changed.
  package func prefill(
    _ input: ModelInput, visual: Rows?, trace: Trace? = nil
  ) throws(InputError) -> Rows {
    let text = model.configuration.text
    guard !input.ids.isEmpty else { throw InputError("", "the prompt is empty") }
    guard input.ids.count <= room else {
      throw InputError(
        "",
        "the prompt needs \(input.ids.count) rows, but only \(room) of the context's "
          + "\(text.contextLength) are free")
    }
    let kept = profile.segments.last.map { $0.classes.subtracting($0.frozen) } ?? .all
    guard input.classes.contains(where: kept.contains) else {
      throw InputError("", "the prompt has only an image; text beside it is needed")
    }
    trace?.record(input, firstPosition: position)
    let embedded = Rows(count: input.ids.count, width: text.hiddenSize)
    model.embed(input, visual: visual, into: embedded)
    let chunk = min(Self.chunkRows, input.ids.count)
    if scratch.capacity < chunk {
      scratch = Scratch(text, capacity: chunk)
      model.decoder.reserve(rows: chunk)
    }
    var last = embedded
    for start in stride(from: 0, to: input.ids.count, by: chunk) {
      let range = start..<min(start + chunk, input.ids.count)
      var rows = DecoderRows(
        hidden: embedded[range],
        positions: range.map { Int32(position + $0) },
        classes: Array(input.classes[range]))
      model.decoder.forward(
        &rows, profile: profile, cache: cache, scratch: scratch, trace: trace)
      if rows.count > 0 { last = rows.hidden }
    }
    position += input.ids.count
    for tokenClass in input.classes { classCounts[Int(tokenClass.rawValue)] += 1 }
    let normed = model.decoder.finalNorm(last[last.count - 1..<last.count])
    let logits = model.decoder.logits(normed)
    trace?.record("final_norm", normed)
    trace?.record("logits", logits)
    return logits
  }

  /// Appends one generated token.
  ///
  /// - Returns: the logits after it, `[1, vocabularySize]`.
  package func step(_ token: Int32) -> Rows {
    precondition(room > 0, "the context is full")
    let x = Rows(count: 1, width: model.configuration.text.hiddenSize)
    model.decoder.embed([token], into: x)
    var rows = DecoderRows(hidden: x, positions: [Int32(position)], classes: [.generated])
    model.decoder.forward(&rows, profile: profile, cache: cache, scratch: scratch)
    position += 1
    classCounts[Int(TokenClass.generated.rawValue)] += 1
    return model.decoder.logits(model.decoder.finalNorm(rows.hidden))
  }

  /// Bytes of keys and values held for visual and for text rows.
  package var keyValueBytes: (visual: Int, text: Int) {
    let visualRows = rowCount(of: .visual)
    var visual = 0
    var total = 0
    for (index, layer) in cache.layers.enumerated() where layer.count > 0 {
      total += layer.byteCount
      if profile.classes(in: index).contains(.visual) {
        visual += layer.byteCount / layer.count * visualRows
      }
    }
    return (visual, total - visual)
  }
}
