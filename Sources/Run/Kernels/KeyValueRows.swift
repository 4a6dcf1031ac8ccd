import CKernels
import Glibc

/// The keys and values of one layer, for attention.
///
/// Address space for the whole capacity is reserved at once; memory is used only for the rows held
/// (in blocks of 128).  One thread at a time may change it.
@safe package final class KeyValueRows: @unchecked Sendable {
  package enum Precision: String, Sendable, CaseIterable {
    case f32, f16
    /// 8-bit integers with an f16 scale for each row, head and 32 dimensions.
    case q8

    var code: vtw_encoding {
      switch self {
      case .f32: VTW_F32
      case .f16: VTW_F16
      case .q8: VTW_Q8
      }
    }
  }

  package let capacity: Int
  package let keyValueHeads: Int
  package let headDimension: Int
  package let precision: Precision
  /// Rows held.
  package private(set) var count = 0

  private let blocks: UnsafeMutableRawPointer
  private let reservedBytes: Int
  private let blockBytes: Int

  /// - Parameter headDimension: 1...256.
  package init(capacity: Int, keyValueHeads: Int, headDimension: Int, precision: Precision) {
    precondition(
      capacity >= 0 && keyValueHeads > 0 && headDimension > 0
        && headDimension <= VTW_HEAD_MAX,
      "cache of \(capacity) rows with \(keyValueHeads) heads of \(headDimension)")
    self.capacity = capacity
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.precision = precision
    blockBytes = vtw_cache_block_bytes(precision.code, keyValueHeads, headDimension)
    let rowsPerBlock = VTW_CACHE_ROWS
    reservedBytes = max(1, (capacity + rowsPerBlock - 1) / rowsPerBlock) * blockBytes
    let address = unsafe mmap(
      nil, reservedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      preconditionFailure("no address space for \(reservedBytes) bytes of keys and values")
    }
    unsafe blocks = address
  }

  deinit { unsafe munmap(blocks, reservedBytes) }

  @unsafe var cache: vtw_cache {
    unsafe vtw_cache(
      precision: precision.code, heads: keyValueHeads, dimension: headDimension, blocks: blocks)
  }

  /// Makes room for rows that the caller writes next; gives the first one's index.
  ///
  /// `keys` and `values` are `[n, keyValueHeads * headDimension]`.
  func grow(by keys: Rows, _ values: Rows) -> Int {
    let width = keyValueHeads * headDimension
    precondition(
      keys.width == width && values.width == width && keys.count == values.count,
      "\(keys.count) x \(keys.width) keys and \(values.count) x \(values.width) values of \(width)")
    precondition(keys.count <= capacity - count, "\(count + keys.count) rows of \(capacity)")
    defer { count += keys.count }
    return count
  }

  /// Forgets all rows and gives their memory back.
  package func removeAll() { truncate(to: 0) }

  /// Keeps the first `newCount` rows, and gives back the memory of whole blocks behind them.
  package func truncate(to newCount: Int) {
    precondition(newCount >= 0 && newCount <= count, "\(newCount) of \(count) rows")
    let rowsPerBlock = VTW_CACHE_ROWS
    // Both ends rounded up to whole pages.
    let kept = pageAligned((newCount + rowsPerBlock - 1) / rowsPerBlock * blockBytes)
    let used = pageAligned((count + rowsPerBlock - 1) / rowsPerBlock * blockBytes)
    count = newCount
    if used > kept { unsafe madvise(blocks + kept, used - kept, Int32(MADV_DONTNEED)) }
  }

  private func pageAligned(_ bytes: Int) -> Int {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    return (bytes + page - 1) / page * page
  }

  /// Bytes of one row: its keys and its values.
  package var rowByteCount: Int {
    vtw_cache_row_bytes(precision.code, keyValueHeads, headDimension)
  }

  /// Bytes of the rows held.
  package var byteCount: Int { count * rowByteCount }

  /// Rows as plain bytes: for each row its keys and then its values, head by head, in the cache's
  /// precision, and for `q8` the scales of both; `rowByteCount` bytes a row.
  package func copyOut(_ rows: Range<Int>) -> [UInt8] {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= count, "rows \(rows) of \(count)")
    var cache = unsafe self.cache
    return unsafe Array(unsafeUninitializedCapacity: rows.count * rowByteCount) { buffer, filled in
      unsafe vtw_cache_copy_out(&cache, rows.lowerBound, rows.count, buffer.baseAddress)
      filled = rows.count * rowByteCount
    }
  }

  /// Appends rows that `copyOut` of a cache of the same shape and precision gave.
  package func copyIn(_ bytes: [UInt8]) {
    precondition(bytes.count % rowByteCount == 0, "\(bytes.count) bytes in rows of \(rowByteCount)")
    let rows = bytes.count / rowByteCount
    precondition(rows <= capacity - count, "\(count + rows) rows of \(capacity)")
    var cache = unsafe self.cache
    unsafe bytes.withUnsafeBytes { buffer in
      unsafe vtw_cache_copy_in(&cache, count, rows, buffer.baseAddress)
    }
    count += rows
  }
}
