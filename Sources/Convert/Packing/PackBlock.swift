import Architecture
import Checkpoints
import Kernels
import TensorCore
import VTWMFile

/// Rows of a tensor that are read and encoded together.
struct PackBlock {
  let key: TensorKey
  let source: SourceTensor
  let encoding: Encoding
  let rows: Range<Int>

  // 32 MiB as f32 keep all threads busy and are small against any model.
  private static let byteCount = 32 << 20

  /// All rows of a tensor, block after block.
  static func blocks(
    of key: TensorKey, _ source: SourceTensor, _ encoding: Encoding
  ) -> [PackBlock] {
    let panels = max(1, byteCount / (4 * max(source.columnCount, 1) * TilePacker.panelRows))
    let rowCount = panels * TilePacker.panelRows
    return stride(from: 0, to: source.rowCount, by: rowCount).map { first in
      PackBlock(
        key: key, source: source, encoding: encoding,
        rows: first..<min(first + rowCount, source.rowCount))
    }
  }

  var isFirst: Bool { rows.lowerBound == 0 }
  var isLast: Bool { rows.upperBound == source.rowCount }

  var sourceByteCount: Int { source.byteCount(of: rows) }

  /// Asks for rows that are read soon.
  func willNeed() { source.willNeed(rows) }

  /// Gives back the memory of rows that were read.
  func drop() { source.drop(rows) }

  var panelCount: Int { (rows.count + TilePacker.panelRows - 1) / TilePacker.panelRows }

  /// Reads and encodes a panel, on any thread.  Integers that the encoding holds are taken over.
  ///
  /// - Throws: `InputError` naming the place of a value that the encoding cannot hold.
  func encodePanel(_ panel: Int, importance: [Float]?) throws(InputError) -> PackedPanel {
    let first = rows.lowerBound + panel * TilePacker.panelRows
    let rows = first..<min(first + TilePacker.panelRows, rows.upperBound)
    var checksum = CRC32()
    unsafe source.withBytes(of: rows) { unsafe checksum.update($0) }
    do {
      return PackedPanel(
        packed: try pack(rows, importance), sourceCRC: checksum.value,
        sourceByteCount: source.byteCount(of: rows))
    } catch {
      throw InputError(error, in: source, from: first, encoding)
    }
  }

  private func pack(
    _ rows: Range<Int>, _ importance: [Float]?
  ) throws(UnpackableValue) -> PackedRows {
    if source.format.integers?.encoding == encoding, let integers = source.readIntegers(rows) {
      return try TilePacker.pack(integers)
    }
    return try TilePacker.pack(
      source.readRows(rows), columns: max(source.columnCount, 1), encoding: encoding,
      importance: importance)
  }
}

/// Rows in their encoding, and the checksum of the bytes that the source has of as many rows.
struct PackedPanel {
  let packed: PackedRows
  let sourceCRC: UInt32
  let sourceByteCount: Int
}

/// Where blocks go, in the writer's order.
struct PackOutput {
  private let writer: VTWMWriter
  private let totalBytes: Int
  private var doneBytes = 0
  /// Of the tensors that are whole.
  private(set) var errors: PackErrors

  // The open tensor.
  private var checksum = CRC32()
  private var sums = SquaredError()

  /// What an earlier run has finished counts as written.
  init(_ writer: VTWMWriter, _ checkpoint: Checkpoint, _ plan: PackPlan) {
    self.writer = writer
    errors = PackErrors(plan)
    totalBytes = checkpoint.tensors.values.reduce(0) { $0 + $1.range.count }
    for (key, note) in writer.finished {
      if plan.encodings[key] != .f32 { errors.add(key, SquaredError(note)) }
      doneBytes += checkpoint.tensors[key]?.range.count ?? 0
    }
  }

  /// Share of the source bytes whose tensors are whole, 0...1.
  var share: Double { Double(doneBytes) / Double(max(totalBytes, 1)) }

  mutating func write(_ block: PackBlock, _ panels: [PackedPanel]) throws(InputError) {
    if block.isFirst {
      writer.begin(block.key)
      checksum = CRC32()
      sums = SquaredError()
    }
    for panel in panels {
      checksum.append(panel.sourceCRC, count: panel.sourceByteCount)
      sums.add(panel.packed.error)
      try writer.append(panel.packed.bytes)
    }
    guard block.isLast else { return }
    try writer.end(sourceCRC: checksum.value, note: sums.note)
    if block.encoding != .f32 { errors.add(block.key, sums) }
    doneBytes += block.source.range.count
  }
}

extension InputError {
  /// A value of rows from `row` on that the encoding cannot hold.
  init(
    _ found: UnpackableValue, in source: SourceTensor, from row: Int, _ encoding: Encoding
  ) {
    self.init(
      source.region.name,
      "tensor '\(printable(source.name))' has \(found.value) in row \(row + found.row), "
        + "column \(found.column); \(encoding.name) needs finite values within its range")
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
