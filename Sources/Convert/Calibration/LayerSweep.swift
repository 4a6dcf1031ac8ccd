import Architecture
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
  /// What the full pass computed, where it ran already to find the answer.
  package var fullPass: FullPassRecord?

  package init(
    input: ModelInput, visual: Rows?, answerRows: Range<Int>, fullPass: FullPassRecord? = nil
  ) {
    self.input = input
    self.visual = visual
    self.answerRows = answerRows
    self.fullPass = fullPass
  }

  /// Rows before the first image.  They see no image in any layer, so they are the same in the full
  /// pass and in every branch.
  package var sharedRows: Int { input.imageRanges.first?.lowerBound ?? input.ids.count }

  /// Rows of the prompt alone.
  var promptRows: PromptRows {
    let prompt = input.classes[...answerRows.lowerBound]
    let visual = prompt.count { $0 == .visual }
    return PromptRows(text: prompt.count - visual, visual: visual)
  }

  /// The text rows after them: what a branch consists of.
  package var branchRows: [Int] {
    (sharedRows..<input.ids.count).filter { ClassMask.text.contains(input.classes[$0]) }
  }
}

/// Withdraws the visual rows at every layer at once.
///
/// All withdrawal layers K share the full pass below K.  So the layers are walked once: through
/// layer l go the rows of the full pass and the text rows of every branch K <= l, where branch l
/// starts as a copy of the text rows that enter layer l.  Text before the first image never sees
/// one: branches take its keys and values from the full pass.  A sample costs about two full
/// prefills instead of one per K, and the weights are read once for a whole batch of samples.
///
/// Schedules that freeze visual rows fork from the same full pass: see `FrozenStreams`.
package struct LayerSweep {
  /// What to run beside the full pass.
  package struct Plan: Equatable, Sendable {
    /// Whether to withdraw at every layer.
    package var withdraws = true
    package var forks: [ScheduleFork] = []

    package init(withdraws: Bool = true, forks: [ScheduleFork] = []) {
      self.withdraws = withdraws
      self.forks = forks
    }

    package var points: [FreezePoint] { forks.flatMap(\.points) }
  }

  private let model: Model
  private let precision: KeyValueRows.Precision
  private let plan: Plan

  /// Branches of one sample go through a layer together up to this many rows at a time, which
  /// bounds the activation memory of a layer.  A product's last bits can depend on the rows beside
  /// it, so groups must follow from the sample alone, not from the batch or the memory.
  static let groupRows = 1024

  package init(_ model: Model, precision: KeyValueRows.Precision, plan: Plan = Plan()) {
    self.model = model
    self.precision = precision
    self.plan = plan
  }

  /// What a sweep finds of one input.
  package struct Finding {
    /// The logits of the full pass at the answer rows, `[answer rows, vocabularySize]`; no rows if
    /// only forks were run.
    package let full: Rows
    /// Those of each branch K in `0..<layerCount`, one after another by K,
    /// `[layerCount * answer rows, vocabularySize]`; no rows if only forks were run.
    package let branches: Rows
    /// Those of each schedule of the forks, in their order; no rows for a prompt without images,
    /// where there is nothing to freeze.
    package let schedules: Rows
    package let migration: SampleMigration
  }

  /// Hidden states of one sample.
  private struct State {
    var input: SweepInput
    /// The full pass, or only its first rows where the rest ran already.
    var base: Rows
    /// Places in the sequence of the rows of a branch.
    var branchRows: [Int]
    /// The branches one after another by K, of which that of the last layer's end is the full pass:
    /// `[(layerCount + 1) * branchRows.count, hiddenSize]`.
    var branches: Rows
    var migration: MigrationSums
    var frozen: FrozenStreams?

    func branch(_ k: Int) -> Rows {
      branches[k * branchRows.count..<(k + 1) * branchRows.count]
    }
  }

  /// Runs `inputs` through all layers.
  ///
  /// - Parameters:
  ///   - progress: takes the share done, 0...1; false ends the sweep.
  ///   - body: called once per input with its index and what the sweep found.
  /// - Returns: what was computed; nil if `progress` ended it, before any call of `body`.
  @discardableResult
  package func run(
    _ inputs: [SweepInput], progress: (Double) -> Bool, body: (Int, Finding) -> Void
  ) -> SweepWork? {
    let text = model.configuration.text
    var states = inputs.map { begin($0, layerCount: text.layerCount) }
    let longest = max(1, states.map { $0.input.input.ids.count }.max() ?? 1)
    let scratch = Scratch(text, capacity: max(Self.groupRows, longest))
    let caches = (0...text.layerCount).map { _ in
      KeyValueRows(
        capacity: longest, keyValueHeads: text.keyValueHeadCount,
        headDimension: text.headDimension, precision: precision)
    }
    let meter = AttentionMeter(model, capacity: longest, precision: precision)
    var work = SweepWork()
    for layer in 0..<text.layerCount {
      for index in states.indices {
        advance(
          &states[index], through: layer, caches: caches, meter: meter, scratch: scratch, &work)
        let done = layer * states.count + index + 1
        guard progress(Double(done) / Double(text.layerCount * states.count)) else { return nil }
      }
    }
    for (index, state) in states.enumerated() {
      let (full, branches) = plan.withdraws ? logits(state) : (noLogits, noLogits)
      body(
        index,
        Finding(
          full: full, branches: branches, schedules: scheduleLogits(state),
          migration: state.migration.sample(state.branchRows)))
    }
    return work
  }

  private func begin(_ input: SweepInput, layerCount: Int) -> State {
    let width = model.configuration.text.hiddenSize
    precondition(
      plan.forks.isEmpty || input.fullPass == nil, "forks need the visual rows of the full pass")
    let branchRows = input.branchRows
    var base = Rows(count: input.input.ids.count, width: width)
    model.embed(input.input, visual: input.visual, into: base)
    if input.fullPass != nil { base = base[0..<input.sharedRows] }
    // Without an image nothing forks.
    if !plan.withdraws, branchRows.isEmpty { base = base[0..<0] }
    let state = State(
      input: input, base: base, branchRows: branchRows,
      branches: input.fullPass?.branchStarts
        ?? Rows(count: plan.withdraws ? (layerCount + 1) * branchRows.count : 0, width: width),
      migration: input.fullPass?.migration
        ?? MigrationSums(layerCount: layerCount, firstAnswerRow: input.answerRows.lowerBound),
      frozen: plan.forks.isEmpty || branchRows.isEmpty
        ? nil
        : FrozenStreams(plan.forks, of: input, layerCount: layerCount, width: width))
    startBranch(0, of: state)
    return state
  }

  /// Branch `layer` starts as the text rows of the full pass.
  private func startBranch(_ layer: Int, of state: State) {
    guard plan.withdraws, state.input.fullPass == nil else { return }
    state.branch(layer).copyRows(state.branchRows, of: state.base)
  }

  /// Takes the full pass and then all branches of a sample through `layer`, in groups of whole
  /// branches.
  private func advance(
    _ state: inout State, through layer: Int, caches: [KeyValueRows], meter: AttentionMeter,
    scratch: Scratch, _ work: inout SweepWork
  ) {
    let shared = state.input.sharedRows
    let full = caches[0]
    full.removeAll()
    if let frozen = state.frozen, state.base.count == state.input.input.ids.count {
      frozen.begin(at: layer, from: state.base)
      // Behind the last fork only the rows that all share are needed.
      if !plan.withdraws, layer >= frozen.lastFreeze { state.base = state.base[0..<shared] }
    }
    if state.base.count > 0 {
      let watched = plan.withdraws && state.input.fullPass == nil ? state.branchRows : []
      let classes = state.input.input.classes[...]
      var shares: [[Double]] = []
      meter.removeAll()
      run(
        layer, state.base, positions: Array(0..<state.base.count),
        streams: [RowStream(rows: 0..<state.base.count, cache: full)], scratch, &work,
        observe: watched.isEmpty
          ? nil
          : { keys, queries in
            shares = meter.shares(keys: keys, queries: queries, classes: classes, watched: watched)
          })
      state.migration.add(shares: shares, of: watched, in: layer)
      work.add(pairsOf: watched)
      startBranch(layer + 1, of: state)
    }
    let rows = state.branchRows.count
    guard rows > 0 else { return }
    let prefix = full.copyOut(0..<shared)
    state.frozen?.advance(
      through: layer, prefix: prefix, caches: Array(caches.dropFirst()), model: model,
      scratch: scratch, &work)
    guard plan.withdraws else { return }
    let perGroup = max(1, Self.groupRows / rows)
    for first in stride(from: 0, through: layer, by: perGroup) {
      let group = first..<min(first + perGroup, layer + 1)
      let streams = group.map { k in
        let cache = caches[1 + k - first]
        cache.removeAll()
        cache.copyIn(prefix)
        return RowStream(rows: (k - first) * rows..<(k - first + 1) * rows, cache: cache)
      }
      run(
        layer, state.branches[group.lowerBound * rows..<group.upperBound * rows],
        positions: group.flatMap { _ in state.branchRows }, streams: streams, scratch, &work)
    }
    state.migration.add(
      withdrawn: state.branch(layer), full: state.branch(layer + 1), of: state.branchRows,
      in: layer)
  }

  private func run(
    _ layer: Int, _ rows: Rows, positions: [Int], streams: [RowStream], _ scratch: Scratch,
    _ work: inout SweepWork, observe: AttentionObserver? = nil
  ) {
    for stream in streams { work.add(rows: stream.rows.count, seen: stream.cache.count) }
    model.decoder.run(
      layer, rows, positions: positions.map(Int32.init), streams: streams, scratch: scratch,
      observeAttention: observe)
  }

  /// The logits at the answer rows: of the full pass, and of each branch, one after another by K.
  private func logits(_ state: State) -> (full: Rows, branches: Rows) {
    let text = model.configuration.text
    let answers = state.input.answerRows
    let full =
      state.input.fullPass?.logits ?? logits(state.base[answers])
    let branches = Rows(count: text.layerCount * answers.count, width: text.vocabularySize)
    let places = state.branchRows.indices.filter { answers.contains(state.branchRows[$0]) }
    for k in 0..<text.layerCount {
      let target = branches[k * answers.count..<(k + 1) * answers.count]
      // Without an image there is nothing to withdraw.
      target.copyRows(
        from: places.isEmpty ? full : logits(state.branch(k)[places[0]..<places[0] + places.count]))
    }
    return (full, branches)
  }

  /// The logits of the forks' schedules at the answer rows, one after another.
  private func scheduleLogits(_ state: State) -> Rows {
    guard let frozen = state.frozen else { return noLogits }
    let answers = state.input.answerRows
    let ends = frozen.ends(of: answers)
    let all = Rows(
      count: ends.count * answers.count, width: model.configuration.text.vocabularySize)
    for (index, rows) in ends.enumerated() {
      all[index * answers.count..<(index + 1) * answers.count].copyRows(from: logits(rows))
    }
    return all
  }

  private var noLogits: Rows { Rows(count: 0, width: model.configuration.text.vocabularySize) }

  private func logits(_ hidden: Rows) -> Rows {
    model.decoder.logits(model.decoder.finalNorm(hidden))
  }
}
