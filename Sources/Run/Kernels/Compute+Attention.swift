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
    var most = 0
    for limit in visible {
      precondition(limit >= 0 && limit <= kv.count, "\(limit) visible rows of \(kv.count)")
      most = max(most, Int(limit))
    }
    unsafe visible.withUnsafeBufferPointer { limits in
      guard let limits = limits.baseAddress else { return }
      let job = unsafe vtw_attention(
        cache: kv.cache, queries: UnsafePointer(q.address), out: out.address, query_count: q.count,
        head_count: headCount, scale: scale, visible: limits)
      let heads = kv.keyValueHeads
      let rows = q.count * (headCount / heads)
      let blocks = (most + Int(VTW_CACHE_ROWS) - 1) / Int(VTW_CACHE_ROWS)
      let rowLimit = unsafe vtw_attention_rows(kernels)
      // As many tiles as keep the threads evenly busy, of no more rows than a call takes.
      let tiles = max(
        (rows + rowLimit - 1) / rowLimit, min((4 * threads + heads - 1) / heads, (rows + 11) / 12))
      if rows <= rowLimit && heads * tiles < 4 * threads && blocks > 1 && threads > 1 {
        unsafe attendByBlocks(job, heads: heads, rows: rows, blocks: blocks)
      } else {
        unsafe attendByRows(job, heads: heads, rows: rows, tiles: tiles)
      }
    }
  }

  /// Tiles of rows of a head.  Tiles of a head follow each other, so that its keys and values stay
  /// in the cache, the last rows first: they see most, and small tiles come last.
  @unsafe private func attendByRows(_ job: vtw_attention, heads: Int, rows: Int, tiles: Int) {
    parallel(heads * tiles) { index in
      var job = unsafe job
      let tile = tiles - 1 - index % tiles
      unsafe vtw_attend(
        kernels, &job, index / tiles, rows * tile / tiles, rows * (tile + 1) / tiles)
    }
  }

  /// Blocks of the cache for few queries, and then the sums over the blocks.
  @unsafe private func attendByBlocks(_ job: vtw_attention, heads: Int, rows: Int, blocks: Int) {
    var job = unsafe job
    let headFloats = unsafe blocks * rows * vtw_attention_part_floats(&job)
    let parts = unsafe scratch.attentionParts(heads * headFloats)
    let shared = unsafe job
    parallel(heads * blocks) { index in
      var job = unsafe shared
      let head = index / blocks, block = index % blocks
      unsafe vtw_attend_blocks(kernels, &job, head, block, block + 1, parts + head * headFloats)
    }
    parallelRanges(heads, grain: max(1, (16 << 10) / max(headFloats, 1))) { range in
      var job = unsafe shared
      for head in range {
        unsafe vtw_attend_merge(kernels, &job, head, parts + head * headFloats)
      }
    }
  }

  /// Rotates keys and queries to their positions and appends keys and values to a cache, in one
  /// pass over the rows.
  ///
  /// - Parameters:
  ///   - keys, values: `[n, keyValueHeads * headDimension]`; the keys are rotated in place.
  ///   - queries: `[m, heads * headDimension]`, rotated in place.
  ///   - keyRotation, queryRotation: of n and m positions; nil leaves both as they are.
  package func append(
    keys: Rows, values: Rows, keyRotation: Rotation? = nil, queries: Rows? = nil,
    queryRotation: Rotation? = nil, to kv: KeyValueRows
  ) {
    let first = kv.grow(by: keys, values)
    let shared = unsafe kv.cache
    let panel = 32
    // Ranges end where panels of the cache end, so that threads do not share lines.
    let lead = first % panel
    let panels = (lead + keys.count + panel - 1) / panel
    // So few values are not worth waking a thread.
    let isSmall = keys.count * keys.width < 4 << 10
    let parts = isSmall ? 1 : max(1, min(panels, 4 * threads))
    parallel(parts) { part in
      var cache = unsafe shared
      let start = max(0, panels * part / parts * panel - lead)
      let end = min(keys.count, panels * (part + 1) / parts * panel - lead)
      unsafe keyRotation?[start..<end].apply(to: keys[start..<end], kv.headDimension, kernels)
      if let queries {
        let range = queries.count * part / parts..<queries.count * (part + 1) / parts
        unsafe queryRotation?[range].apply(to: queries[range], kv.headDimension, kernels)
      }
      unsafe vtw_cache_store(
        kernels, &cache, first + start, end - start, keys.address + start * keys.width,
        values.address + start * values.width)
    }
  }
}
