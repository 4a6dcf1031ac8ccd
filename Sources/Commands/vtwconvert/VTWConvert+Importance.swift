import Architecture
import Calibration
import Checkpoints
import CommandSupport
import Kernels
import Packing
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

extension VTWConvert {
  /// The texts that weight the errors of a model that sees no images; nil for one that does, and
  /// without `--calib`.
  func calibrationTexts(_ configuration: ModelConfiguration) throws(InputError) -> SampleSet? {
    guard !calib.isEmpty, configuration.vision == nil else { return nil }
    guard statistics.stats == nil, !statistics.resume, calib.allSatisfy(TextLines.isOne) else {
      throw InputError(
        input,
        "is a text-only model; --calib takes .txt files of a text per line, for --importance")
    }
    var texts = SampleSet(samples: [])
    for argument in calib { texts.append(try TextLines.read(argument)) }
    return calibLimit.map { texts.limited(to: $0, seed: seed) } ?? texts
  }

  /// Whether what the samples feed each matrix weights the errors of its weights.
  ///
  /// Unless it is asked for, only where it pays: the error of q4 shows in the answers, that of
  /// longer encodings hardly, and a quantised source that is kept has none.  Shards would each have
  /// to measure all samples.
  func weightsErrors(_ checkpoint: Checkpoint, _ plan: PackPlan) -> Bool {
    importance
      ?? (!calib.isEmpty && statistics.shard == nil
        && plan.encodings.contains { key, encoding in
          (encoding == .q4 || encoding == .q4a)
            && checkpoint.tensors[key]?.format.integers?.encoding != encoding
        })
  }

  /// What an error in each input column of each matrix costs on `samples`.
  ///
  /// The model runs with all matrices in q8, whose own error changes these numbers by less than the
  /// choice of samples does.  Its weights lie in a temporary file beside the output, which is gone
  /// when this returns; the finished file has other weights.
  func measureImportance(
    on samples: [Sample], checkpoint: Checkpoint, compute: Compute
  ) throws -> [TensorKey: [Float]] {
    let plan = PackPlan(checkpoint.configuration, encoding: .q8)
    let contents = try contents(checkpoint)
    let writer = try self.writer(checkpoint, plan, contents, tasks: [])
    let packing = ProgressLine("packing to measure importance", isQuiet: quiet)
    try Packer(checkpoint, plan: plan, compute: compute).write(to: writer) { share, _ in
      packing.update(share)
    }
    packing.finish()
    let calibrator = try self.calibrator(
      CalibrationSubject(
        contents: contents, tensors: try writer.mapTensors(),
        precision: plan.keyValuePrecision, modelID: writer.modelID(plan.keyValuePrecision),
        types: ("", "")),
      compute: compute)
    let measuring = ProgressLine("measuring importance", isQuiet: quiet)
    let moments = try calibrator.inputMoments(samples) { measuring.update($0) }
    measuring.finish()
    var importance: [TensorKey: [Float]] = [:]
    for key in writer.order { importance[key] = moments[key] }
    return importance
  }
}
