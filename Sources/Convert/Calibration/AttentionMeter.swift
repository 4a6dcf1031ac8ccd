import Architecture
import Inference
import Kernels

/// Measures how rows share their attention out among the classes of rows, in one layer.
///
/// Attention mixes the values of the rows that a query sees by their probabilities.  With values
/// that are 1 in the column of a row's class and 0 elsewhere, what it mixes is the probability of
/// each class: so the ordinary kernel, over the ordinary keys, gives the shares of each head.
struct AttentionMeter {
  private let model: Model
  /// The keys of the layer, each cache with as many classes as a head has columns.
  private let caches: [KeyValueRows]

  private static let classes = TokenClass.allCases

  /// - Parameters:
  ///   - capacity: the most rows of a sequence.
  ///   - precision: how keys are held, as in the pass that is measured.
  init(_ model: Model, capacity: Int, precision: KeyValueRows.Precision) {
    let text = model.configuration.text
    self.model = model
    caches = stride(from: 0, to: Self.classes.count, by: text.headDimension).map { _ in
      KeyValueRows(
        capacity: capacity, keyValueHeads: text.keyValueHeadCount,
        headDimension: text.headDimension, precision: precision)
    }
  }

  /// Forgets all rows.
  func removeAll() {
    for cache in caches { cache.removeAll() }
  }

  /// Takes in further rows of the sequence, and measures some of them.
  ///
  /// - Parameters:
  ///   - keys, queries: of these rows, rotated, as an `AttentionObserver` sees them.
  ///   - classes: of these rows.
  ///   - watched: places among these rows.
  /// - Returns: of each watched row the shares, means over heads, by the raw value of the class.
  func shares(
    keys: Rows, queries: Rows, classes: ArraySlice<TokenClass>, watched: [Int]
  ) -> [[Double]] {
    let text = model.configuration.text
    let seen = caches[0].count
    let asking = Rows(count: watched.count, width: queries.width)
    asking.copyRows(watched, of: queries)
    let visible = watched.map { Int32(seen + $0 + 1) }
    let mixed = Rows(count: watched.count, width: queries.width)
    var shares = watched.map { _ in Array(repeating: 0.0, count: Self.classes.count) }
    for (index, cache) in caches.enumerated() {
      let first = index * text.headDimension
      let columns = first..<min(first + text.headDimension, Self.classes.count)
      model.compute.append(
        keys: keys, values: marks(classes, columns: columns, width: keys.width), to: cache)
      model.compute.attend(
        asking, to: cache, headCount: text.headCount, scale: model.decoder.scale,
        visible: visible, into: mixed)
      let values = mixed.span
      for row in watched.indices {
        for head in 0..<text.headCount {
          let start = row * mixed.width + head * text.headDimension
          for column in columns {
            shares[row][column] +=
              Double(values[start + column - first]) / Double(text.headCount)
          }
        }
      }
    }
    return shares
  }

  /// A row for each of `classes`: in each head, 1 in the column of its class.
  private func marks(
    _ classes: ArraySlice<TokenClass>, columns: Range<Int>, width: Int
  ) -> Rows {
    let marks = Rows(count: classes.count, width: width)
    marks.fill(with: 0)
    var values = marks.mutableSpan
    for (row, tokenClass) in classes.enumerated() where columns ~= Int(tokenClass.rawValue) {
      let column = Int(tokenClass.rawValue) - columns.lowerBound
      for start in stride(from: 0, to: width, by: model.configuration.text.headDimension) {
        values[row * width + start + column] = 1
      }
    }
    return marks
  }
}
