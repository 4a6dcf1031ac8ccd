import Architecture
package import Kernels
package import Prompting
import TensorCore

/// Collects what a prompt's forward pass computes, to be compared with another implementation.
///
/// The names are the same in every family and are documented in the README.
package final class Trace {
  /// A recorded tensor, row-major.
  package enum Values {
    case f32([Float])
    case i32([Int32])
    case u8([UInt8])
  }

  private var order: [String] = []
  private var tensors: [String: (shape: [Int], values: Values)] = [:]

  package init() {}

  /// Everything recorded, in the order of the pass.
  package var recorded: [(name: String, shape: [Int], values: Values)] {
    order.compactMap { name in
      tensors[name].map { (name, $0.shape, $0.values) }
    }
  }

  /// Sets tensor `name`.
  package func record(_ name: String, _ shape: [Int], _ values: Values) {
    if tensors.updateValue((shape, values), forKey: name) == nil { order.append(name) }
  }

  package func record(_ name: String, _ rows: Rows) {
    record(name, [rows.count, rows.width], .f32(rows.copy()))
  }

  package func record(pixels tiles: [PixelTensor]) {
    guard let first = tiles.first else { return }
    record(
      "pixels", [tiles.count, 3, first.height, first.width], .f32(tiles.flatMap(\.values)))
  }

  package func record(_ input: ModelInput, firstPosition: Int) {
    let count = input.ids.count
    record("input_ids", [count], .i32(input.ids))
    record("row_class", [count], .u8(input.classes.map(\.rawValue)))
    record("positions", [count], .i32((0..<count).map { Int32(firstPosition + $0) }))
  }

  /// Appends the rows that enter `layer`, in the order of the sequence.
  ///
  /// - Parameter order: how they lie, if some are frozen.
  func record(_ rows: DecoderRows, _ order: FrozenOrder?, layer: Int) {
    guard let order else { return record(hidden: rows.hidden, layer: layer) }
    let inOrder = Rows(count: rows.count, width: rows.hidden.width)
    for (rank, place) in order.places.enumerated() {
      inOrder[place..<place + 1].copyRows(from: rows.hidden[rank..<rank + 1])
    }
    record(hidden: inOrder, layer: layer)
  }

  /// Appends the rows that enter `layer`; a prompt may come in several chunks.
  private func record(hidden rows: Rows, layer: Int) {
    let digits = String(layer)
    append(rows, to: "hidden." + String(repeating: "0", count: max(0, 2 - digits.count)) + digits)
  }

  /// Appends `rows` to tensor `name`.
  package func append(_ rows: Rows, to name: String) {
    var values: [Float] = []
    if case .f32(let earlier)? = tensors[name]?.values { values = earlier }
    values += rows.copy()
    record(name, [values.count / rows.width, rows.width], .f32(values))
  }
}
