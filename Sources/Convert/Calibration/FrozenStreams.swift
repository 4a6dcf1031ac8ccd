import Architecture
import Inference
import Kernels
import Prompting

/// The schedules of one sample that freeze its visual rows, on their way through the layers.
///
/// Each fork is a stream of text rows beside visual rows that stay as they entered layer
/// `freeze`; each of its schedules that withdraw is a branch of text rows alone, which starts as a
/// copy of the stream's text rows where it withdraws.
struct FrozenStreams {
  let forks: [ScheduleFork]
  private let layerCount: Int
  /// Places in the sequence of text rows behind its prefix, and of visual rows.
  private let textRows: [Int]
  private let visualRows: [Int]
  private let order: FrozenOrder
  /// By fork: visual rows as they froze, and text rows.
  private let visual: Rows
  private let text: Rows
  /// Schedules that withdraw, by fork and end, with their text rows one after another.
  private let branches: [(fork: Int, end: Int)]
  private let branchRows: Rows

  /// - Parameter forks: at least one; empty schedules of a sample without images are not run.
  init(_ forks: [ScheduleFork], of input: SweepInput, layerCount: Int, width: Int) {
    self.forks = forks
    self.layerCount = layerCount
    let behind = input.sharedRows..<input.input.ids.count
    textRows = input.branchRows
    visualRows = behind.filter { input.input.classes[$0] == .visual }
    order = FrozenOrder(behind.map { input.input.classes[$0] == .visual })
    visual = Rows(count: forks.count * visualRows.count, width: width)
    text = Rows(count: forks.count * textRows.count, width: width)
    branches = forks.indices.flatMap { fork in
      forks[fork].ends.filter { $0 < layerCount }.map { (fork, $0) }
    }
    branchRows = Rows(count: branches.count * textRows.count, width: width)
  }

  /// The last layer whose entering visual rows are needed.
  var lastFreeze: Int { forks.map(\.freeze).max() ?? 0 }

  private func places(_ index: Int, _ rows: [Int]) -> Range<Int> {
    index * rows.count..<(index + 1) * rows.count
  }

  /// Takes the rows of the full pass that enter `layer` where a fork freezes there.
  ///
  /// - Parameter full: all rows of the sequence.
  func begin(at layer: Int, from full: Rows) {
    for (index, fork) in forks.enumerated() where fork.freeze == layer {
      visual[places(index, visualRows)].copyRows(visualRows, of: full)
      text[places(index, textRows)].copyRows(textRows, of: full)
    }
  }

  /// Takes all streams and branches that have begun through `layer`.
  ///
  /// - Parameters:
  ///   - prefix: keys and values of the rows before the first image.
  ///   - caches: as many as streams go through together.
  func advance(
    through layer: Int, prefix: [UInt8], caches: [KeyValueRows], model: Model, scratch: Scratch,
    _ work: inout SweepWork
  ) {
    for (index, branch) in branches.enumerated() where branch.end == layer {
      branchRows[places(index, textRows)].copyRows(from: text[places(branch.fork, textRows)])
    }
    let active = forks.indices.filter {
      forks[$0].freeze <= layer && layer < (forks[$0].ends.last ?? 0)
    }
    func runs(_ indices: [Int], _ most: Int) -> [Range<Int>] {
      // Neighbours lie together.
      var runs: [Range<Int>] = []
      for index in indices {
        if let last = runs.last, last.upperBound == index, last.count < most {
          runs[runs.count - 1] = last.lowerBound..<index + 1
        } else {
          runs.append(index..<index + 1)
        }
      }
      return runs
    }
    func cache(_ place: Int) -> KeyValueRows {
      let cache = caches[place]
      cache.removeAll()
      cache.copyIn(prefix)
      return cache
    }
    let perStream = textRows.count + visualRows.count
    for group in runs(active, max(1, min(caches.count, LayerSweep.groupRows / perStream))) {
      let streams = group.indices.map { fork in
        let place = fork - group.lowerBound
        return RowStream(
          rows: places(place, textRows), frozen: places(place, visualRows), order: order,
          cache: cache(place))
      }
      for _ in streams { work.add(textRows, frozen: visualRows.count) }
      model.decoder.run(
        layer, text[group.lowerBound * textRows.count..<group.upperBound * textRows.count],
        positions: group.flatMap { _ in textRows.map(Int32.init) },
        frozen: visual[
          group.lowerBound * visualRows.count..<group.upperBound * visualRows.count],
        frozenPositions: group.flatMap { _ in visualRows.map(Int32.init) }, streams: streams,
        scratch: scratch)
    }
    let begun = branches.indices.filter { branches[$0].end <= layer }
    for group in runs(begun, max(1, min(caches.count, LayerSweep.groupRows / textRows.count))) {
      let streams = group.indices.map { branch in
        let place = branch - group.lowerBound
        return RowStream(rows: places(place, textRows), cache: cache(place))
      }
      for stream in streams { work.add(rows: textRows.count, seen: stream.cache.count) }
      model.decoder.run(
        layer, branchRows[group.lowerBound * textRows.count..<group.upperBound * textRows.count],
        positions: group.flatMap { _ in textRows.map(Int32.init) }, streams: streams,
        scratch: scratch)
    }
  }

  /// The rows of the sequence `rows`, a range of text rows, as they left the last layer, by
  /// schedule in the order of the forks and their ends.
  func ends(of rows: Range<Int>) -> [Rows] {
    let first = textRows.firstIndex(of: rows.lowerBound) ?? 0
    var branch = 0
    return forks.indices.flatMap { fork in
      forks[fork].ends.map { end in
        let all: Rows
        if end < layerCount {
          all = branchRows[places(branch, textRows)]
          branch += 1
        } else {
          all = text[places(fork, textRows)]
        }
        return all[first..<first + rows.count]
      }
    }
  }
}
