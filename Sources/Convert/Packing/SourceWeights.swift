package import Architecture
package import Checkpoints
package import Kernels
package import TensorCore

/// A checkpoint's weights as its source has them, one part of them in memory at a time.
///
/// All tensors have their places in reserved address space, where a model finds them; memory is
/// taken by those of the part that was entered last.
package final class SourceWeights {
  package let tensors: TensorTable
  private let checkpoint: Checkpoint
  private let compute: Compute
  private let region: ByteRegion
  /// The tensors in memory.
  private var held: [TensorView] = []

  // Tensors begin at pages, so that each can be dropped by itself; 64 KiB is the largest page that
  // Linux has on the processors that we know.
  private static let alignment = 64 << 10
  // Rows are read and encoded in blocks of so many bytes of f32, like those of the packer.
  private static let blockBytes = 32 << 20

  /// - Throws: `InputError` if there is not so much address space.
  package init(_ checkpoint: Checkpoint, compute: Compute) throws(InputError) {
    self.checkpoint = checkpoint
    self.compute = compute
    let specifications = checkpoint.configuration.tensorGroups.joined()
    var offsets: [Int] = []
    var end = 0
    for specification in specifications {
      let encoding = Self.encoding(specification, checkpoint)
      let rows = specification.shape.dimensions.first ?? 1
      guard let count = specification.shape.elementCount,
        let layout = TileLayout(encoding, rows: rows, columns: count / max(1, rows)),
        let next = checkedSum(end, layout.byteCount)
          .flatMap({ roundedUp($0, to: Self.alignment) })
      else { throw InputError("", "tensor '\(specification.key)' is too large") }
      offsets.append(end)
      end = next
    }
    region = try ByteRegion(reserving: end, name: "the weights of the source")
    var tensors = TensorTable()
    for (specification, offset) in zip(specifications, offsets) {
      tensors[specification.key] = TensorView(
        region, offset: offset, shape: specification.shape,
        encoding: Self.encoding(specification, checkpoint))
    }
    self.tensors = tensors
  }

  /// The source's own type if it is one of ours.  Quantised values become f16, whose rounding is
  /// far below their own and below that of q8, and which takes a fifth of the time of f32.
  private static func encoding(
    _ specification: TensorSpecification, _ checkpoint: Checkpoint
  ) -> Encoding {
    guard specification.kind != .vector,
      let format = checkpoint.tensors[specification.key]?.format
    else { return .f32 }
    if format.elementCount > 1 { return .f16 }
    return [Encoding.f16, .bf16].first { $0.name.uppercased() == format.name } ?? .f32
  }

  /// Brings the tensors of `part` into memory in place of those that were there; nil brings none.
  ///
  /// No kernel may be reading weights meanwhile.
  ///
  /// - Throws: `InputError` naming the tensor and row of a value that is not finite.
  package func enter(_ part: WeightPart?) throws(InputError) {
    for view in held {
      // Whole pages: up to where the next tensor begins.
      let end = roundedUp(view.byteRange.upperBound, to: Self.alignment) ?? region.byteCount
      region.dropPages(view.byteRange.lowerBound..<end)
    }
    held = []
    for specification in part.map(checkpoint.configuration.tensors) ?? [] {
      guard let source = checkpoint.tensors[specification.key],
        let view = tensors[specification.key]
      else { preconditionFailure("a checkpoint has every tensor, but not \(specification.key)") }
      held.append(view)
      try load(source, into: view)
    }
  }

  private func load(_ source: SourceTensor, into view: TensorView) throws(InputError) {
    let columns = max(1, source.columnCount)
    let tileRows = view.encoding.tileRows
    let blockRows = max(1, Self.blockBytes / (4 * columns * tileRows)) * tileRows
    var offset = view.byteRange.lowerBound
    for first in stride(from: 0, to: source.rowCount, by: blockRows) {
      let rows = first..<min(first + blockRows, source.rowCount)
      do {
        let packed = try TilePacker.pack(
          source.readRows(rows), columns: columns, encoding: view.encoding, on: compute)
        region.fill(offset, with: packed.bytes)
        offset += packed.bytes.count
      } catch {
        throw InputError(error, in: source, from: first, view.encoding)
      }
      source.drop(rows)
    }
  }
}
