package import Architecture
package import Checkpoints
package import Kernels
import TensorCore
package import VTWMFile

/// Streams tensors from a checkpoint into the tiles of a pending file.
///
/// Memory is bounded by one block of panels, whatever the model's size; source pages are given
/// back as soon as they are read.
package struct Packer {
  private let checkpoint: Checkpoint
  private let plan: PackPlan
  private let importance: [TensorKey: [Float]]
  private let compute: Compute

  // One block of a matrix is read, checked, encoded in parallel and written; 32 MiB of f32 keeps
  // all threads busy and is small against any model.
  private static let blockBytes = 32 << 20

  /// - Parameter importance: per tensor, what the squared error in each input column counts in the
  ///   search for scales; all columns count the same in a tensor that is not named.
  package init(
    _ checkpoint: Checkpoint, plan: PackPlan, importance: [TensorKey: [Float]] = [:],
    compute: Compute
  ) {
    self.checkpoint = checkpoint
    self.plan = plan
    self.importance = importance
    self.compute = compute
  }

  /// Writes every tensor in the writer's order, but for those that an earlier run has finished.
  ///
  /// - Parameter progress: share of the source bytes done, 0...1, and whether an earlier run did it.
  /// - Returns: how far the encoded tensors lie from their source.
  /// - Throws: `InputError` naming the tensor and row of a value that is not finite.
  @discardableResult
  package func write(
    to writer: VTWMWriter, progress: (_ share: Double, _ isStart: Bool) throws -> Void
  ) throws -> PackErrors {
    var errors = PackErrors(plan)
    let total = checkpoint.tensors.values.reduce(0) { $0 + $1.range.count }
    var done = 0
    for (key, note) in writer.finished {
      if plan.encodings[key] != .f32 { errors.add(key, SquaredError(note)) }
      done += checkpoint.tensors[key]?.range.count ?? 0
    }
    if done > 0 { try progress(Double(done) / Double(max(total, 1)), true) }
    for key in writer.order.dropFirst(writer.finished.count) {
      guard let source = checkpoint.tensors[key], let encoding = plan.encodings[key] else {
        preconditionFailure("a checkpoint has every tensor of its configuration, but not \(key)")
      }
      let error = try write(source, key: key, encoding: encoding, to: writer)
      if encoding != .f32 { errors.add(key, error) }
      done += source.range.count
      try progress(Double(done) / Double(max(total, 1)), false)
    }
    return errors
  }

  private func write(
    _ source: SourceTensor, key: TensorKey, encoding: Encoding, to writer: VTWMWriter
  ) throws(InputError) -> SquaredError {
    let columns = max(source.columnCount, 1)
    let panelRows = encoding.tileRows
    let panelsPerBlock = max(1, Self.blockBytes / (4 * columns * panelRows))
    let blockRows = panelsPerBlock * panelRows
    var checksum = CRC32()
    var sums = SquaredError()
    var values: [Float] = []
    writer.begin(key)
    for first in stride(from: 0, to: source.rowCount, by: blockRows) {
      let rows = first..<min(first + blockRows, source.rowCount)
      let next = rows.upperBound..<min(rows.upperBound + blockRows, source.rowCount)
      source.willNeed(next)
      read(source, rows, into: &values, &checksum)
      let packed: [UInt8]
      do {
        packed = try pack(source, rows, values, encoding: encoding, key: key)
      } catch {
        throw InputError(
          source.region.name,
          "tensor '\(printable(source.name))' has \(error.value) in row \(first + error.row), "
            + "column \(error.column); \(encoding.name) needs finite values within its range")
      }
      sums.add(
        TilePacker.error(
          of: packed, from: values, columns: columns, encoding: encoding, on: compute))
      try writer.append(packed)
      source.drop(rows)
    }
    try writer.end(sourceCRC: checksum.value, note: sums.note)
    return sums
  }

  /// The values of `rows`, and the checksum of their bytes.
  private func read(
    _ source: SourceTensor, _ rows: Range<Int>, into values: inout [Float],
    _ checksum: inout CRC32
  ) {
    let columns = source.columnCount
    if values.count != rows.count * columns {
      values = Array(repeating: 0, count: rows.count * columns)
    }
    let parts = parts(of: rows)
    var checksums = Array(repeating: CRC32(), count: parts.count)
    var sizes = Array(repeating: 0, count: parts.count)
    unsafe values.withUnsafeMutableBufferPointer { values in
      unsafe checksums.withUnsafeMutableBufferPointer { checksums in
        unsafe sizes.withUnsafeMutableBufferPointer { sizes in
          guard let values = values.baseAddress, let checksums = checksums.baseAddress,
            let sizes = sizes.baseAddress
          else { return }
          compute.parallel(parts.count) { part in
            let first = (parts[part].lowerBound - rows.lowerBound) * columns
            unsafe source.readRows(parts[part], to: values + first)
            unsafe source.withBytes(of: parts[part]) { bytes in
              unsafe checksums[part].update(bytes)
              unsafe sizes[part] = bytes.count
            }
          }
        }
      }
    }
    for (part, size) in zip(checksums, sizes) { checksum.append(part.value, count: size) }
  }

  /// The bytes of the panels of `rows`.  Integers that `encoding` holds are taken over.
  private func pack(
    _ source: SourceTensor, _ rows: Range<Int>, _ values: [Float], encoding: Encoding,
    key: TensorKey
  ) throws(UnpackableValue) -> [UInt8] {
    if source.format.integers?.encoding == encoding,
      let integers = source.readIntegers(
        rows,
        inParts: { read in
          let parts = parts(of: rows)
          compute.parallel(parts.count) { read(parts[$0]) }
        })
    {
      return try TilePacker.pack(integers, on: compute)
    }
    return try TilePacker.pack(
      values, columns: max(source.columnCount, 1), encoding: encoding, importance: importance[key],
      on: compute)
  }

  /// A few ranges for each thread.
  private func parts(of rows: Range<Int>) -> [Range<Int>] {
    let count = min(rows.count, 4 * compute.threads)
    return (0..<count).map { part in
      rows.lowerBound + rows.count * part / count..<rows.lowerBound + rows.count * (part + 1)
        / count
    }
  }
}

extension SquaredError {
  /// For a run that goes on after this one.
  fileprivate var note: JSONValue { [.number(error), .number(power)] }

  fileprivate init(_ note: JSONValue) {
    let numbers = note.arrayValue?.compactMap(\.doubleValue) ?? []
    self.init(error: numbers.first ?? 0, power: numbers.count == 2 ? numbers[1] : 0)
  }
}
