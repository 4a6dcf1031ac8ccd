import CKernels
import COpenBLAS
package import TensorCore

extension Compute {
  /// y = x · Wᵀ + b.
  ///
  /// - Parameters:
  ///   - x: `[rows, inputs]`.
  ///   - y: `[rows, outputs]`, not overlapping `x`.
  package func multiply(_ x: Rows, _ linear: Linear, into y: Rows) {
    multiply(x, [linear], into: [y], add: false)
  }

  /// Several layers of the same x, which is packed once.
  package func multiply(_ x: Rows, _ linears: [Linear], into ys: [Rows]) {
    multiply(x, linears, into: ys, add: false)
  }

  /// y += x · Wᵀ + b.
  package func multiplyAdd(_ x: Rows, _ linear: Linear, to y: Rows) {
    multiply(x, [linear], into: [y], add: true)
  }

  private func multiply(_ x: Rows, _ linears: [Linear], into ys: [Rows], add: Bool) {
    precondition(linears.count == ys.count, "\(linears.count) layers into \(ys.count) results")
    for (linear, y) in zip(linears, ys) {
      precondition(
        x.width == linear.inputs && y.width == linear.outputs && y.count == x.count,
        "\(x.count) x \(x.width) times \(linear.weight.shape) into \(y.count) x \(y.width)")
    }
    guard x.count > 0, let first = linears.first?.weight.encoding else { return }
    if linears.allSatisfy({ $0.weight.encoding == first }) {
      multiplyAlike(x, linears, first, into: ys, add: add)
      return
    }
    for encoding in Encoding.allCases {
      let chosen = linears.indices.filter { linears[$0].weight.encoding == encoding }
      if chosen.isEmpty { continue }
      multiplyAlike(
        x, chosen.map { linears[$0] }, encoding, into: chosen.map { ys[$0] }, add: add)
    }
  }

  /// Layers whose weights are all in `encoding`.
  private func multiplyAlike(
    _ x: Rows, _ linears: [Linear], _ encoding: Encoding, into ys: [Rows], add: Bool
  ) {
    if encoding == .f32 {
      for (linear, y) in zip(linears, ys) { multiplyPlain(x, linear, into: y, add: add) }
    } else {
      multiplyTiled(x, linears, encoding, into: ys, add: add)
    }
  }

  /// Makes room for products of `rows` rows with any of `matrices`, which then allocate nothing.
  package func reserve(rows: Int, for matrices: [TensorView]) {
    let bytes = matrices.map { matrix in
      matrix.encoding == .f32
        ? 0 : unsafe vtw_packed_row_bytes(kernels, matrix.encoding.code, matrix.columns)
    }
    _ = unsafe scratch.packedActivations(rows * (bytes.max() ?? 0))
  }

  // MARK: Tiled encodings

  /// Bytes of weights that one piece of work reads at a time: they stay in a core's L2 cache while
  /// all rows of x pass.
  private static let workBytes = 384 << 10

  private func multiplyTiled(
    _ x: Rows, _ linears: [Linear], _ encoding: Encoding, into ys: [Rows], add: Bool
  ) {
    let code = encoding.code
    let rows = x.count
    let packed = unsafe scratch.packedActivations(
      rows * vtw_packed_row_bytes(kernels, code, x.width))
    let tiles = unsafe vtw_row_tiles(kernels, code, rows)
    parallelRanges(tiles, grain: 4) { range in
      for tile in range {
        unsafe vtw_pack_tile(kernels, code, x.address, rows, x.width, tile, packed)
      }
    }

    let panelBytes = unsafe vtw_panel_block_bytes(kernels, code, x.width)
    let allPanels = linears.reduce(0) { $0 + $1.weight.layout.paddedRows / 32 }
    let perPiece = max(
      1, min(Self.workBytes / max(panelBytes, 1), allPanels / (8 * threads)))
    func pieceCount(_ linear: Linear) -> Int {
      (linear.weight.layout.paddedRows / 32 + perPiece - 1) / perPiece
    }
    parallel(linears.reduce(0) { $0 + pieceCount($1) }) { index in
      var piece = index, layer = 0
      while piece >= pieceCount(linears[layer]) {
        piece -= pieceCount(linears[layer])
        layer += 1
      }
      let linear = linears[layer]
      let first = piece * perPiece
      var matrix = unsafe linear.matrix
      unsafe vtw_multiply_panels(
        kernels, &matrix, first, min(first + perPiece, linear.weight.layout.paddedRows / 32),
        packed, rows, ys[layer].address, add ? 1 : 0)
    }
  }

  // MARK: f32

  /// Up to here our dot products beat the library, which packs both operands first.
  private static let fewRows = 32

  private func multiplyPlain(_ x: Rows, _ linear: Linear, into y: Rows, add: Bool) {
    if x.count <= Self.fewRows {
      multiplyFewRows(x, linear, into: y, add: add)
    } else {
      multiplyByLibrary(x, linear, into: y, add: add)
    }
  }

  private func multiplyFewRows(_ x: Rows, _ linear: Linear, into y: Rows, add: Bool) {
    // Multiples of four outputs, at least 32 KiB of weights.
    let grain = max(1, (8 << 10) / (4 * max(linear.inputs, 1)))
    let quads = (linear.outputs + 3) / 4
    parallelRanges(quads, grain: grain) { range in
      var matrix = unsafe linear.matrix
      unsafe vtw_multiply_f32(
        kernels, &matrix, 4 * range.lowerBound, min(4 * range.upperBound, linear.outputs),
        x.address, x.count, y.address, add ? 1 : 0)
    }
  }

  /// OpenBLAS, one single-threaded call per fixed block of rows and outputs: the library's sums
  /// depend on the shape of a call, so the blocks must not depend on the number of threads.
  private func multiplyByLibrary(_ x: Rows, _ linear: Linear, into y: Rows, add: Bool) {
    let outputs = linear.outputs, inputs = linear.inputs, rows = x.count
    // Few enough for the packing of x, done once per block of outputs, to cost little.
    let outputBlock = 256, rowBlock = 1024
    let outputBlocks = (outputs + outputBlock - 1) / outputBlock
    let rowBlocks = (rows + rowBlock - 1) / rowBlock
    let weights = unsafe linear.weight.address.assumingMemoryBound(to: Float.self)
    let bias = unsafe linear.biasAddress
    parallel(outputBlocks * rowBlocks) { index in
      let column = index % outputBlocks * outputBlock, row = index / outputBlocks * rowBlock
      let width = min(outputBlock, outputs - column), height = min(rowBlock, rows - row)
      let out = unsafe y.address + row * outputs + column
      if let bias = unsafe bias {
        for m in 0..<height {
          let line = unsafe out + m * outputs
          if add {
            unsafe vtw_add(kernels, bias + column, line, width)
          } else {
            unsafe line.update(from: bias + column, count: width)
          }
        }
      }
      let keep: Float = unsafe add || bias != nil ? 1 : 0
      unsafe cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(height), Int32(width), Int32(inputs), 1,
        x.address + row * inputs, Int32(inputs), weights + column * inputs, Int32(inputs), keep,
        out, Int32(outputs))
    }
  }
}

extension Encoding {
  var code: vtw_encoding { vtw_encoding(rawValue: UInt32(rawValue)) }
}

extension Linear {
  @unsafe var biasAddress: UnsafePointer<Float>? {
    unsafe bias.map { unsafe $0.address.assumingMemoryBound(to: Float.self) }
  }

  @unsafe var matrix: vtw_matrix {
    unsafe vtw_matrix(
      encoding: weight.encoding.code, rows: outputs, columns: inputs, weights: weight.address,
      bias: biasAddress)
  }
}
