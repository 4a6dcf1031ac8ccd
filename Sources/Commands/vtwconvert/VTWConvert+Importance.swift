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
  /// What an error in each input column of each matrix costs on `samples`.
  ///
  /// The model runs with all matrices in q8, whose own error changes these numbers by less than the
  /// choice of samples does.  Its weights lie in a temporary file beside the output, which is gone
  /// when this returns; the finished file has other weights.
  func measureImportance(
    on samples: [Sample], checkpoint: Checkpoint, compute: Compute
  ) throws(InputError) -> [TensorKey: [Float]] {
    let plan = PackPlan(checkpoint.configuration, encoding: .q8)
    let contents = try contents(checkpoint)
    let writer = try self.writer(checkpoint, plan, contents, tasks: [])
    let packing = ProgressLine("packing to measure importance", isQuiet: quiet)
    try Packer(checkpoint, plan: plan, compute: compute).write(to: writer) { packing.update($0) }
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
