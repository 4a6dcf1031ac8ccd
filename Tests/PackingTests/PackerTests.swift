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

  private func write(_ name: String, encoding: Encoding, threads: Int = 2) throws -> VTWMWriter {
    let plan = PackPlan(checkpoint.configuration, encoding: encoding)
    let writer = try VTWMWriter(
      path: folder.path(name),
      contents: VTWMContents(
        configuration: checkpoint.configuration, imageSteps: checkpoint.imageSteps,
        tokenizer: checkpoint.tokenizer, template: checkpoint.template),
      encodings: plan.encodings, sourceTypes: checkpoint.tensors.mapValues { $0.type.rawValue },
      overwrite: false, inputs: checkpoint.inputs.map(\.path))
    var shares: [Double] = []
    try Packer(checkpoint, plan: plan, compute: Compute(threads: threads)).write(to: writer) {
      shares.append($0)
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
      // q4 has 8 to a side and may clip the largest.
      let bound: Float =
        switch view.encoding {
        case .f32, .bf16: 0
        case .f16: largest / 2048
        case .q8: largest / 100
        case .q4: largest / 4
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

  @Test func cacheIsPlainWhereTheDecoderIs() {
    #expect(PackPlan(checkpoint.configuration, encoding: .f32).keyValuePrecision == .f32)
    #expect(PackPlan(checkpoint.configuration, encoding: .q8).keyValuePrecision == .f16)
  }
}
