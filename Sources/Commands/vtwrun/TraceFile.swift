import CommandSupport
import Inference
import TensorCore

/// Writes a trace as a safetensors file.
enum TraceFile {
  static func write(
    _ trace: Trace, to path: String, k: Int, prompt: String, answer: Answer
  ) throws(InputError) {
    var writer = SafetensorsWriter(
      metadata: [
        "k": String(k), "prompt": prompt, "text": answer.text,
        "token_ids": answer.ids.map(String.init).joined(separator: " "),
      ])
    for tensor in trace.recorded {
      let shape = Shape(tensor.shape)
      switch tensor.values {
      case .f32(let values): writer.add(tensor.name, shape: shape, floats: values)
      case .i32(let values): writer.add(tensor.name, shape: shape, integers: values)
      case .u8(let values): writer.add(tensor.name, shape: shape, bytes: values)
      }
    }
    try writer.write(to: path)
  }
}
