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
