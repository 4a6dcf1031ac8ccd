/// A row-major f32 matrix in 64-byte aligned memory: a handle, whose slices share the memory.
///
/// Fresh memory is uninitialised.  Handles are values, but what they refer to is shared: whoever
/// writes rows must be the only one using them at that time.
@safe package struct Rows: Sendable {
  package let count: Int
  package let width: Int
  private let memory: AlignedFloats
  /// First element, counted from the start of the memory.
  private let start: Int
  /// Floats that this handle may be reshaped to.
  private let capacity: Int

  /// Allocates `count` rows of `width` floats.
  package init(count: Int, width: Int) {
    precondition(count >= 0 && width >= 0, "\(count) rows of \(width)")
    self.init(
      count: count, width: width, memory: AlignedFloats(count: count * width), start: 0,
      capacity: count * width)
  }

  private init(count: Int, width: Int, memory: AlignedFloats, start: Int, capacity: Int) {
    self.count = count
    self.width = width
    self.memory = memory
    self.start = start
    self.capacity = capacity
  }

  /// The rows of `range`, in the same memory.
  package subscript(_ range: Range<Int>) -> Rows {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count, "rows \(range) of \(count)")
    return Rows(
      count: range.count, width: width, memory: memory, start: start + range.lowerBound * width,
      capacity: capacity - range.lowerBound * width)
  }

  /// The same memory seen as `count` rows of `width`, which must fit this handle's memory.
  package func reshaped(count: Int, width: Int) -> Rows {
    precondition(
      count >= 0 && width >= 0 && count * width <= capacity,
      "\(count) rows of \(width) in \(capacity) floats")
    return Rows(count: count, width: width, memory: memory, start: start, capacity: capacity)
  }

  /// The same memory seen as matrices of `count` rows each, one behind the other; their widths
  /// together are at most this width.
  package func parts(widths: [Int]) -> [Rows] {
    var next = 0
    return widths.map { width in
      precondition(next + width <= self.width, "\(widths) columns in \(self.width)")
      defer { next += width }
      return Rows(
        count: count, width: width, memory: memory, start: start + count * next,
        capacity: count * width)
    }
  }

  /// All values, row by row.
  package var span: Span<Float> {
    @_lifetime(borrow self) get {
      let span = unsafe Span(_unsafeStart: address, count: count * width)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// All values, for writing; the caller must be the only user of these rows meanwhile.
  package var mutableSpan: MutableSpan<Float> {
    @_lifetime(borrow self) get {
      let span = unsafe MutableSpan(_unsafeStart: address, count: count * width)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The first value, for kernels; valid while a handle to the memory lives.
  @unsafe var address: UnsafeMutablePointer<Float> { unsafe memory.base + start }

  /// The values as an array.
  package func copy() -> [Float] {
    unsafe Array(UnsafeBufferPointer(start: address, count: count * width))
  }

  /// Overwrites all values; `values` has `count * width` of them.
  package func fill(from values: [Float]) { fill(from: values.span) }

  /// Overwrites all values; `values` has `count * width` of them.
  package func fill(from values: Span<Float>) {
    precondition(values.count == count * width, "\(values.count) values for \(count) x \(width)")
    unsafe values.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      unsafe address.update(from: base, count: values.count)
    }
  }

  /// Overwrites all values by those of `other`, which has the same shape.
  package func copyRows(from other: Rows) {
    precondition(
      other.count == count && other.width == width,
      "\(other.count) x \(other.width) into \(count) x \(width)")
    unsafe address.update(from: other.address, count: count * width)
  }

  /// Overwrites the rows one after another by the rows `indices` of `other`, as many and as wide.
  package func copyRows(_ indices: [Int], of other: Rows) {
    precondition(indices.count == count, "\(indices.count) rows into \(count)")
    for (place, row) in indices.enumerated() {
      self[place..<place + 1].copyRows(from: other[row..<row + 1])
    }
  }

  /// Sets every value to `value`.
  package func fill(with value: Float) {
    unsafe address.update(repeating: value, count: count * width)
  }
}

/// Owns 64-byte aligned memory for floats.
@safe final class AlignedFloats: Sendable {
  nonisolated(unsafe) let base: UnsafeMutablePointer<Float>

  init(count: Int) {
    // 64: one cache line, and one AVX-512 register.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
    unsafe base = memory.bindMemory(to: Float.self, capacity: max(count, 1))
  }

  deinit { unsafe UnsafeMutableRawPointer(base).deallocate() }
}
