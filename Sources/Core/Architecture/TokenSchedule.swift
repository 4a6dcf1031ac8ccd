/// What a row of the sequence is.  Raw values are numbers of the file format and of traces.
package enum TokenClass: UInt8, CaseIterable, Sendable {
  /// Rows before the first user turn.
  case system = 0
  case user = 1
  /// Rows that the model wrote.
  case generated = 2
  /// Rows that came from an image.
  case visual = 3

  package var name: String { "\(self)" }
}

/// A set of token classes; bit n stands for raw value n.
package struct ClassMask: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32

  package init(rawValue: UInt32) { self.rawValue = rawValue }
  package init(_ tokenClass: TokenClass) { rawValue = 1 << UInt32(tokenClass.rawValue) }

  package static let text: ClassMask = [
    ClassMask(.system), ClassMask(.user), ClassMask(.generated),
  ]
  package static let visual = ClassMask(.visual)
  package static let all: ClassMask = [.text, .visual]

  package func contains(_ tokenClass: TokenClass) -> Bool { contains(ClassMask(tokenClass)) }
}

/// Decoder layers that run over the same classes of rows.
package struct ScheduleSegment: Equatable, Sendable {
  package var layers: Range<Int>
  /// Classes whose rows these layers see.  Rows of any other class are dropped on entry.
  package var classes: ClassMask
  /// Classes among them whose rows give keys and values but are not updated; never text.
  package var frozen: ClassMask

  package init(layers: Range<Int>, classes: ClassMask, frozen: ClassMask = []) {
    self.layers = layers
    self.classes = classes
    self.frozen = frozen
  }
}

extension ScheduleSegment {
  /// What becomes of visual rows in these layers.
  package var visualState: ScheduleProfile.VisualState {
    !classes.contains(.visual) ? .withdrawn : frozen.contains(.visual) ? .frozen : .full
  }
}

/// One way to run the model: which rows each layer sees.
///
/// Visual token withdrawal (VTW, arXiv 2405.05803) is two segments: `0..<K` over all rows, `K..<N`
/// over text rows.
package struct ScheduleProfile: Equatable, Sendable {
  package var name: String
  /// Contiguous, covering `0..<layerCount` once; classes only shrink.
  package var segments: [ScheduleSegment]

  package init(name: String, segments: [ScheduleSegment]) {
    self.name = name
    self.segments = segments
  }

  /// Withdrawal at the entry of layer `k` in `0...layerCount`; `layerCount` means never.
  package init(name: String = "default", withdrawingAt k: Int, of layerCount: Int) {
    precondition((0...layerCount).contains(k), "withdrawal layer \(k) outside 0...\(layerCount)")
    let all = ScheduleSegment(layers: 0..<k, classes: .all)
    let text = ScheduleSegment(layers: k..<layerCount, classes: .text)
    self.init(name: name, segments: [all, text].filter { !$0.layers.isEmpty })
  }

  /// The first layer without visual rows; the layer count if there is none.
  package var withdrawalLayer: Int {
    segments.first { !$0.classes.contains(.visual) }?.layers.lowerBound
      ?? segments.last?.layers.upperBound ?? 0
  }

  /// In layers `a ..< b` visual rows are frozen, from `b` on they are withdrawn.
  ///
  /// `a` = `b` is withdrawal at that layer, `b` = `layerCount` never withdraws.
  package init(name: String, freezingAt a: Int, withdrawingAt b: Int, of layerCount: Int) {
    precondition(
      0 <= a && a <= b && b <= layerCount, "layers \(a)..<\(b) frozen of \(layerCount)")
    self.init(
      name: name,
      states: (0..<layerCount).map { $0 < a ? .full : $0 < b ? .frozen : .withdrawn })
  }

  /// Visual rows are updated only in the layers `updating`, and frozen in the others.
  package init(name: String, updating: Set<Int>, of layerCount: Int) {
    self.init(
      name: name, states: (0..<layerCount).map { updating.contains($0) ? .full : .frozen })
  }

  /// Layer by layer what becomes of visual rows, which never come back.
  package init(name: String, states: [VisualState]) {
    var segments: [ScheduleSegment] = []
    for (layer, state) in states.enumerated() {
      let segment = ScheduleSegment(
        layers: layer..<layer + 1, classes: state == .withdrawn ? .text : .all,
        frozen: state == .frozen ? .visual : [])
      if let last = segments.last, last.classes == segment.classes, last.frozen == segment.frozen {
        segments[segments.count - 1].layers = last.layers.lowerBound..<layer + 1
      } else {
        segments.append(segment)
      }
    }
    self.init(name: name, segments: segments)
  }

  /// A schedule in words for one model: "11" withdraws at layer 11, "4-22" freezes from layer 4 and
  /// withdraws at 22, "layers=0,2,3" updates visual rows in these layers only.
  ///
  /// - Returns: nil if `text` is none of these, or not of so many layers.
  package init?(_ text: String, of layerCount: Int) {
    func numbers(_ text: Substring, _ separator: Character) -> [Int]? {
      let parts = text.split(separator: separator, omittingEmptySubsequences: false)
      let numbers = parts.compactMap { part in
        part.allSatisfy { $0.isASCII && $0.isNumber } ? Int(part) : nil
      }
      return numbers.count == parts.count ? numbers : nil
    }
    let list = "layers="
    if text.hasPrefix(list) {
      guard let layers = numbers(text.dropFirst(list.count), ","),
        layers.allSatisfy({ $0 < layerCount })
      else { return nil }
      let isShort = text.utf8.count <= 64
      self.init(
        name: isShort ? text : "layers", updating: Set(layers), of: layerCount)
      return
    }
    guard let bounds = numbers(text[...], "-"), (1...2).contains(bounds.count),
      bounds[0] <= bounds[bounds.count - 1], bounds[bounds.count - 1] <= layerCount
    else { return nil }
    self.init(
      name: text, freezingAt: bounds[0], withdrawingAt: bounds[bounds.count - 1], of: layerCount)
  }

  /// What becomes of the visual rows in a layer.
  package enum VisualState: CaseIterable, Comparable, Sendable {
    /// They are updated.
    case full
    /// They give keys and values only.
    case frozen
    case withdrawn

    package var name: String { "\(self)" }

    /// Its mark in a bar of layers: told apart by shape, not by colour.
    package var mark: Character {
      switch self {
      case .full: "█"
      case .frozen: "▒"
      case .withdrawn: "·"
      }
    }
  }

  /// What becomes of the visual rows in each layer.
  package var visualStates: [VisualState] {
    segments.flatMap { Array(repeating: $0.visualState, count: $0.layers.count) }
  }

  /// The layers as a bar, a mark for each: "███▒▒▒··".
  package var bar: String { String(visualStates.map(\.mark)) }

  /// The layers in short: "K = 11", or a bar of them where rows freeze.
  package var label: String { freezesRows ? bar : "K = \(withdrawalLayer)" }

  /// Whether some layer freezes rows.
  package var freezesRows: Bool { segments.contains { !$0.frozen.isEmpty } }

  /// What becomes of the visual rows, such as "visual rows are frozen from layer 4 and leave at
  /// layer 22 of 32".
  package var summary: String {
    let layerCount = segments.last?.layers.upperBound ?? 0
    let k = withdrawalLayer
    let leave =
      k == layerCount
      ? "stay in all \(layerCount) layers" : "leave at layer K = \(k) of \(layerCount)"
    let frozen = segments.filter { !$0.frozen.isEmpty }
    guard let first = frozen.first, let last = frozen.last else { return "visual rows \(leave)" }
    let isOneRun =
      frozen.reduce(0) { $0 + $1.layers.count }
      == last.layers.upperBound - first.layers.lowerBound
    let layers =
      isOneRun && last.layers.upperBound == k
      ? "frozen from layer \(first.layers.lowerBound) on"
      : "frozen in \(frozen.reduce(0) { $0 + $1.layers.count }) layers"
    return "visual rows are \(layers) and \(leave)"
  }

  /// The classes that `layer` sees.
  package func classes(in layer: Int) -> ClassMask {
    segments.first { $0.layers.contains(layer) }?.classes ?? []
  }
}

/// A threshold and the withdrawal layer it leads to, as measured at calibration.
package struct ScheduleCandidate: Equatable, Sendable {
  /// Largest mean KL divergence allowed, in nats per answer position.
  package var eta: Float
  package var withdrawalLayer: Int
  /// Measured at that layer: mean and largest KL (nats), share of equal top-1 tokens.
  package var meanKL: Float
  package var maxKL: Float
  package var agreement: Float
  package var sampleCount: Int

  package init(
    eta: Float, withdrawalLayer: Int, meanKL: Float, maxKL: Float, agreement: Float,
    sampleCount: Int
  ) {
    self.eta = eta
    self.withdrawalLayer = withdrawalLayer
    self.meanKL = meanKL
    self.maxKL = maxKL
    self.agreement = agreement
    self.sampleCount = sampleCount
  }
}

/// Everything that the file says about which rows run where.
package struct TokenSchedule: Equatable, Sendable {
  package var layerCount: Int
  /// At least one; names are unique.
  package var profiles: [ScheduleProfile]
  package var defaultProfile: Int
  /// Strictly rising in eta, never rising in withdrawal layer.
  package var candidates: [ScheduleCandidate]

  package init(
    layerCount: Int, profiles: [ScheduleProfile], defaultProfile: Int = 0,
    candidates: [ScheduleCandidate] = []
  ) {
    self.layerCount = layerCount
    self.profiles = profiles
    self.defaultProfile = defaultProfile
    self.candidates = candidates
  }

  /// A schedule that never withdraws.
  package static func full(layerCount: Int) -> TokenSchedule {
    TokenSchedule(
      layerCount: layerCount,
      profiles: [ScheduleProfile(withdrawingAt: layerCount, of: layerCount)])
  }
}
