import Architecture
import VTWMFile

/// What is calibrated: packed weights, and what the file says beside them.
struct CalibrationSubject {
  var contents: VTWMContents
  var tensors: TensorTable
  var precision: KeyValuePrecision
  var modelID: String
}
