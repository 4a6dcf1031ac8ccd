import Architecture
import Checkpoints
import Kernels
import Packing
import TensorCore
import TestSupport
import Testing
import VTWMFile

/// A checkpoint's tensors through the packer and back.
@Suite struct PackerTests {
  let folder: TemporaryFolder
  let checkpoint: Checkpoint

  init() throws {
    folder = try TemporaryFolder()
    checkpoint = try Checkpoint(
      at: fixturePath("models/gqa"), readTokenizer: TokenizerFiles.read)
  }

  private func writer(_ name: String, _ plan: PackPlan) throws -> VTWMWriter {
    try VTWMWriter(
      path: folder.path(name),
      contents: VTWMContents(
        configuration: checkpoint.configuration, imageSteps: checkpoint.imageSteps,
        tokenizer: checkpoint.tokenizer, template: checkpoint.template),
      encodings: plan.encodings, sourceTypes: checkpoint.tensors.mapValues { $0.format.name },
      overwrite: false, inputs: checkpoint.inputs.map(\.path))
  }

  private func write(_ name: String, encoding: Encoding, threads: Int = 2) throws -> VTWMWriter {
    let plan = PackPlan(checkpoint.configuration, encoding: encoding)
    let writer = try writer(name, plan)
    var shares: [Double] = []
    try Packer(checkpoint, plan: plan, compute: Compute(threads: threads)).write(to: writer) {
      share, _ in shares.append(share)
    }
    #expect(shares == shares.sorted() && shares.last == 1)
    return writer
  }

  @Test(arguments: Encoding.allCases)
  func everyTensorDecodesToItsSource(encoding: Encoding) throws {
    let table = try write("m.vtwm", encoding: encoding).mapTensors()
    #expect(!checkpoint.tensors.isEmpty)
    for (key, source) in checkpoint.tensors {
      let view = try #require(table[key])
      var want: [Float] = []
      source.readRows(0..<source.rowCount, into: &want)
      let found = TilePacker.unpack(view, rows: 0..<view.rows)
      let largest = want.map(abs).max() ?? 0
      // The source is bf16: f32 and bf16 are exact, f16 rounds, q8 has 127 steps per 32 values,
      // q4 has 8 to a side and may clip the largest, as q4a, q5a and q6 may.
      let bound: Float =
        switch view.encoding {
        case .f32, .bf16: 0
        case .f16: largest / 2048
        case .q8: largest / 100
        case .q6: largest / 28
        case .q5a: largest / 10
        case .q4, .q4a: largest / 4
        }
      for (a, b) in zip(found, want) where abs(a - b) > bound {
        Issue.record("\(key), \(view.encoding.name): \(a), expected \(b)")
        break
      }
    }
  }

  @Test func vectorsStayPlain() {
    let plan = PackPlan(checkpoint.configuration, encoding: .q8)
    #expect(plan.encodings[TensorKey(.finalNorm)] == .f32)
    #expect(plan.encodings[TensorKey(.query, layer: 0)] == .q8)
    #expect(plan.encodings.count == checkpoint.tensors.count)
  }

  @Test func fourBitsSpareWhatCostsMost() {
    let plan = PackPlan(checkpoint.configuration, encoding: .q4)
    #expect(plan.encodings[TensorKey(.query, layer: 0)] == .q4)
    #expect(plan.encodings[TensorKey(.down, layer: 0)] == .q4)
    for role in [TensorRole.embedding, .patchEmbedding, .projectorIn, .projectorOut] {
      #expect(plan.encodings[TensorKey(role)] == .q8, "\(role)")
    }
    #expect(plan.encodings[TensorKey(.visionUp, layer: 0)] == .q8)
    #expect(plan.encodings[TensorKey(.finalNorm)] == .f32)
  }

  @Test func rulesChangeMatricesAndTheLastOneWins() throws {
    let rules = ["text.layers.*=bf16", "*.down=q8", "*.1.down=f16"].compactMap(EncodingRule.init)
    let plan = try PackPlan(checkpoint.configuration, encoding: .q4)
      .changed(by: rules, checkpoint.configuration)
    #expect(plan.encodings[TensorKey(.query, layer: 0)] == .bf16)
    #expect(plan.encodings[TensorKey(.attentionNorm, layer: 0)] == .f32)
    #expect(plan.encodings[TensorKey(.down, layer: 0)] == .q8)
    #expect(plan.encodings[TensorKey(.down, layer: 1)] == .f16)
    #expect(plan.encodings[TensorKey(.embedding)] == .q8)
  }

  @Test(arguments: ["", "=", "q4", "=q4", "*=", "*=q5", "*=Q4"])
  func refusesWhatIsNoRule(text: String) { #expect(EncodingRule(text) == nil) }

  @Test func aRuleThatMeansNothingIsNamed() throws {
    let rule = try #require(EncodingRule("text.layer.*=q4"))
    #expect {
      try PackPlan(checkpoint.configuration, encoding: .q8)
        .changed(by: [rule], checkpoint.configuration)
    } throws: {
      "\($0)".contains("'text.layer.*' matches no matrix")
    }
  }

  @Test func errorsAreThoseOfTheDecodedTensors() throws {
    let plan = PackPlan(checkpoint.configuration, encoding: .q4)
    let writer = try writer("m.vtwm", plan)
    let errors = try Packer(checkpoint, plan: plan, compute: Compute(threads: 2))
      .write(to: writer) { _, _ in }
    let table = try writer.mapTensors()
    #expect(errors.tensors.count == plan.encodings.values.count { $0 != .f32 })
    for (key, sums) in errors.tensors {
      var source: [Float] = []
      let tensor = try #require(checkpoint.tensors[key])
      tensor.readRows(0..<tensor.rowCount, into: &source)
      let view = try #require(table[key])
      let packed = TilePacker.unpack(view, rows: 0..<view.rows)
      var error = 0.0, power = 0.0
      for (a, b) in zip(packed, source) {
        error += Double(a - b) * Double(a - b)
        power += Double(b) * Double(b)
      }
      #expect(abs(sums.relative - (error / power).squareRoot()) < 1e-6, "\(key)")
    }
    let parts = errors.parts
    #expect(parts.map(\.part) == ModelPart.allCases.filter { $0 != .head || !isTied })
    for part in parts {
      #expect(part.encodings == [part.part == .decoder ? .q4 : .q8])
      #expect(part.worstError >= part.error && part.error > 0)
      #expect(ModelPart(of: part.worst.role) == part.part)
    }
  }

  private var isTied: Bool { checkpoint.tensors[TensorKey(.head)] == nil }

  @Test func cacheIsPlainWhereTheDecoderIs() {
    #expect(PackPlan(checkpoint.configuration, encoding: .f32).keyValuePrecision == .f32)
    #expect(PackPlan(checkpoint.configuration, encoding: .q8).keyValuePrecision == .f16)
  }
}
