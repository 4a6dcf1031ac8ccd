import Architecture
import Calibration
import Checkpoints
import Packing
import TensorCore
import VTWMFile

/// What is calibrated: packed weights, and what the file says beside them.
struct CalibrationSubject {
  var contents: VTWMContents
  var tensors: TensorTable
  var precision: KeyValuePrecision
  var modelID: String
  /// How most of the weights are stored, and what they were.
  var types: (stored: String, source: String)
  /// What the weights are compared with.
  var source: SourceModel?
}

extension CalibrationSubject {
  /// How most numbers of a checkpoint are stored, and what they were.
  static func types(of checkpoint: Checkpoint, in plan: PackPlan) -> (
    stored: String, source: String
  ) {
    types(
      checkpoint.tensors.map { key, tensor in
        (plan.encodings[key]?.name ?? "-", tensor.format.name, tensor.shape.elementCount ?? 0)
      })
  }

  /// The same of a packed file.
  static func types(of file: VTWMFile) -> (stored: String, source: String) {
    types(
      file.tensorInfos.map { ($0.encoding.name, $0.sourceType, $0.shape.elementCount ?? 0) })
  }

  private static func types(
    _ tensors: [(stored: String, source: String, count: Int)]
  ) -> (stored: String, source: String) {
    func most(_ names: [(name: String, count: Int)]) -> String {
      let counts = Dictionary(names.map { ($0.name, $0.count) }, uniquingKeysWith: +)
      return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "-"
    }
    return (
      most(tensors.map { ($0.stored, $0.count) }), most(tensors.map { ($0.source, $0.count) })
    )
  }
}
