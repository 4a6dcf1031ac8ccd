import CKernels

extension Compute {
  /// softmax(scale · q Kᵀ) V, each query over the leading rows of the cache that it sees.
  ///
  /// - Parameters:
  ///   - q: `[n, headCount * headDimension]`; query head h uses key/value head
  ///     h / (headCount / keyValueHeads).
  ///   - visible: for each query the number of leading cache rows it sees, at most `kv.count`:
  ///     base + i + 1 for a causal mask, all for a full one.  A query that sees none gets zeros.
  ///   - out: the shape of `q`, not overlapping it.
  package func attend(
    _ q: Rows, to kv: KeyValueRows, headCount: Int, scale: Float, visible: [Int32], into out: Rows
  ) {
    precondition(
      headCount > 0 && headCount % kv.keyValueHeads == 0
        && q.width == headCount * kv.headDimension && out.width == q.width && out.count == q.count
        && visible.count == q.count,
      """
      \(q.count) x \(q.width) queries with \(headCount) heads and \(visible.count) limits over \
      \(kv.keyValueHeads) heads of \(kv.headDimension) into \(out.count) x \(out.width)
      """)
    for limit in visible {
      precondition(limit >= 0 && limit <= kv.count, "\(limit) visible rows of \(kv.count)")
    }
    unsafe visible.withUnsafeBufferPointer { limits in
      guard let limits = limits.baseAddress else { return }
      var job = unsafe vtw_attention(
        cache: kv.cache, queries: UnsafePointer(q.address), out: out.address, query_count: q.count,
        head_count: headCount, scale: scale, visible: limits)
      let tiles = unsafe vtw_attention_tiles(kernels, &job)
      let shared = unsafe job
      // Tiles of a head follow each other: its keys and values stay in the cache meanwhile.
      parallel(tiles * kv.keyValueHeads) { index in
        var job = unsafe shared
        unsafe vtw_attend_tile(kernels, &job, index / tiles, index % tiles)
      }
    }
  }
}
