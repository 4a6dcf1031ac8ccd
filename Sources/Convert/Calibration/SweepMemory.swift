package import Architecture
package import Kernels
import Prompting

/// How many bytes a batch of samples takes in a sweep, beside the mapped weights.
package struct SweepMemory {
  private let text: TextConfiguration
  private let answerTokens: Int
  private let plan: LayerSweep.Plan
  private let comparesSource: Bool
  /// Keys and values of one row in one layer.
  private let cacheRowBytes: Int
  /// What each sample of the batch holds by itself.
  private var own = 0
  /// What the samples use one after another.
  private var shared = 0

  package init(
    _ text: TextConfiguration, precision: KeyValueRows.Precision, answerTokens: Int,
    comparesSource: Bool = false, plan: LayerSweep.Plan = LayerSweep.Plan()
  ) {
    self.text = text
    self.comparesSource = comparesSource
    self.answerTokens = answerTokens
    self.plan = plan
    cacheRowBytes = 2 * text.keyValueWidth * (precision == .f32 ? 4 : 2)
  }

  /// An upper bound, good to some percent for models of billions of weights.
  package var byteCount: Int { own + shared }

  /// Counts a sample in.
  package mutating func add(_ input: SweepInput) {
    let float = 4
    let rows = input.input.ids.count
    let hidden = text.hiddenSize * float
    let branches = (text.layerCount + 1) * input.branchRows.count * hidden
    // The image's rows, the full pass, the branches; and the logits of an answer found before.
    own += 2 * rows * hidden + branches + answerTokens * text.vocabularySize * float
    // Rows behind the first image for every fork, text rows for every schedule that withdraws.
    let forked = plan.forks.reduce(0) {
      $0 + rows - input.sharedRows
        + $1.ends.count { $0 < text.layerCount } * input.branchRows.count
    }
    own += forked * hidden
    // The same of the source, and both sides' logits; its weights are not counted.
    if comparesSource { own += 2 * rows * hidden + 2 * answerTokens * text.vocabularySize * float }

    let active = max(LayerSweep.groupRows, rows)
    let perRow =
      3 * text.hiddenSize + 2 * text.queryWidth + 2 * text.keyValueWidth
      + 3 * text.intermediateSize
    // Attention is measured beside the full pass, over the keys once more.
    let groups = 2 * rows + LayerSweep.groupRows + text.layerCount * input.sharedRows
    let meter = rows * (text.keyValueWidth + 2 * text.queryWidth) * float
    let logits =
      2 * (text.layerCount + 1 + plan.points.count) * answerTokens * text.vocabularySize * float
    // Finding an answer keeps keys and values in all layers, and gathers what branches start from.
    let answer = 2 * text.layerCount * rows * cacheRowBytes + branches
    shared = max(
      shared, active * perRow * float + meter + max(groups * cacheRowBytes + logits, answer))
  }
}
