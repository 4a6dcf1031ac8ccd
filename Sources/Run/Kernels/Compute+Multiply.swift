import CKernels
import COpenBLAS
package import TensorCore

/// What becomes of the sums s = x · Wᵀ + b of a product.
package enum Epilogue: Sendable {
  /// y = s
  case store
  /// y += s
  case add
  /// y = f(s)
  case activate(KernelActivation)
  /// y = f(y) · s
  case gate(KernelActivation)

  var code: vtw_epilogue {
    var code = vtw_epilogue()
    switch self {
    case .store: code.kind = VTW_STORE
    case .add: code.kind = VTW_ADD
    case .activate(let activation):
      code.kind = VTW_ACTIVATE
      code.f = activation.code
    case .gate(let activation):
      code.kind = VTW_GATE
      code.f = activation.code
    }
    return code
  }
}

extension Compute {
  /// x · Wᵀ + b.
  ///
  /// - Parameters:
  ///   - x: `[rows, inputs]`.
  ///   - y: `[rows, outputs]`, not overlapping `x`.
  package func multiply(
    _ x: Rows, _ linear: Linear, _ epilogue: Epilogue = .store, into y: Rows
  ) {
    multiply(x, [linear], epilogue, into: [y])
  }

  /// Several layers of the same x, which is packed once.
  package func multiply(_ x: Rows, _ linears: [Linear], into ys: [Rows]) {
    multiply(x, linears, .store, into: ys)
  }

  /// y = activation(x · Gateᵀ) · (x · Upᵀ), each with its bias.
  ///
  /// - Parameters:
  ///   - x: `[rows, inputs]`.
  ///   - y: `[rows, outputs]`, not overlapping `x`.
  package func multiplyGated(
    _ x: Rows, gate: Linear, up: Linear, _ activation: KernelActivation, into y: Rows
  ) {
    check(x, gate, y)
    check(x, up, y)
    let encoding = gate.weight.encoding
    guard encoding != .f32, encoding == up.weight.encoding, x.count > 0 else {
      multiply(x, gate, into: y)
      multiply(x, up, .gate(activation), into: y)
      return
    }
    let packed = unsafe pack(x, encoding)
    let pieces = pieces(of: gate.panelCount, encoding, inputs: x.width)
    parallel(pieces.count) { index in
      unsafe multiply(packed, gate, pieces[index], .store, into: y)
      unsafe multiply(packed, up, pieces[index], .gate(activation), into: y)
    }
  }

  private func check(_ x: Rows, _ linear: Linear, _ y: Rows) {
    precondition(
      x.width == linear.inputs && y.width == linear.outputs && y.count == x.count,
      "\(x.count) x \(x.width) times \(linear.weight.shape) into \(y.count) x \(y.width)")
  }

  private func multiply(
    _ x: Rows, _ linears: [Linear], _ epilogue: Epilogue, into ys: [Rows]
  ) {
    precondition(linears.count == ys.count, "\(linears.count) layers into \(ys.count) results")
    for (linear, y) in zip(linears, ys) { check(x, linear, y) }
    guard x.count > 0, let first = linears.first?.weight.encoding else { return }
    if linears.allSatisfy({ $0.weight.encoding == first }) {
      multiplyAlike(x, linears, first, epilogue, into: ys)
      return
    }
    for encoding in Encoding.allCases {
      let chosen = linears.indices.filter { linears[$0].weight.encoding == encoding }
      if chosen.isEmpty { continue }
      multiplyAlike(
        x, chosen.map { linears[$0] }, encoding, epilogue, into: chosen.map { ys[$0] })
    }
  }

  /// Layers whose weights are all in `encoding`.
  private func multiplyAlike(
    _ x: Rows, _ linears: [Linear], _ encoding: Encoding, _ epilogue: Epilogue, into ys: [Rows]
  ) {
    if encoding == .f32 {
      for (linear, y) in zip(linears, ys) { multiplyPlain(x, linear, epilogue, into: y) }
    } else {
      multiplyTiled(x, linears, encoding, epilogue, into: ys)
    }
  }

  /// Makes room for products of `rows` rows with any of `matrices`, which then allocate nothing.
  package func reserve(rows: Int, for matrices: [TensorView]) {
    let bytes = matrices.map { matrix in
      matrix.encoding == .f32
        ? matrix.rows * MemoryLayout<Float>.size
        : unsafe vtw_packed_row_bytes(kernels, matrix.encoding.code, matrix.columns)
    }
    _ = unsafe scratch.productBuffer(rows * (bytes.max() ?? 0))
  }

  // MARK: Tiled encodings

  /// Bytes of weights that one piece of work reads at a time: they stay in a core's L2 cache while
  /// all rows of x pass.
  private static let workBytes = 384 << 10

  /// x as products with weights in `encoding` read it.
  @unsafe private func pack(_ x: Rows, _ encoding: Encoding) -> UnsafeRawPointer {
    let code = encoding.code
    let packed = unsafe scratch.productBuffer(
      x.count * vtw_packed_row_bytes(kernels, code, x.width))
    parallelRanges(unsafe vtw_row_tiles(kernels, code, x.count), grain: 4) { range in
      for tile in range {
        unsafe vtw_pack_tile(kernels, code, x.address, x.count, x.width, tile, packed)
      }
    }
    return unsafe UnsafeRawPointer(packed)
  }

  /// Pieces of work of `panelCount` panels.
  private func pieces(of panelCount: Int, _ encoding: Encoding, inputs: Int) -> Pieces {
    let panelBytes = unsafe vtw_panel_block_bytes(kernels, encoding.code, inputs)
    return Pieces(
      of: panelCount, atMost: Self.workBytes / max(panelBytes, 1), threads: threads)
  }

  /// The outputs of the panels `range`.
  @unsafe private func multiply(
    _ packed: UnsafeRawPointer, _ linear: Linear, _ range: Range<Int>, _ epilogue: Epilogue,
    into y: Rows
  ) {
    var matrix = unsafe linear.matrix
    unsafe vtw_multiply_panels(
      kernels, &matrix, range.lowerBound, range.upperBound, packed, y.count, y.address,
      epilogue.code)
  }

  private func multiplyTiled(
    _ x: Rows, _ linears: [Linear], _ encoding: Encoding, _ epilogue: Epilogue, into ys: [Rows]
  ) {
    let packed = unsafe pack(x, encoding)
    let pieces = pieces(
      of: linears.reduce(0) { $0 + $1.panelCount }, encoding, inputs: x.width)
    parallel(pieces.count) { index in
      // The panels of all layers follow each other.
      let piece = pieces[index]
      var first = 0
      for (linear, y) in zip(linears, ys) {
        let mine = piece.clamped(to: first..<first + linear.panelCount)
        if !mine.isEmpty {
          unsafe multiply(
            packed, linear, mine.lowerBound - first..<mine.upperBound - first, epilogue, into: y)
        }
        first += linear.panelCount
      }
    }
  }

  // MARK: f32

  /// Up to here our dot products beat the library, which packs both operands first.
  private static let fewRows = 32

  private func multiplyPlain(
    _ x: Rows, _ linear: Linear, _ epilogue: Epilogue, into y: Rows
  ) {
    switch epilogue {
    case .store: unsafe multiplyPlain(x, linear, into: y.address, add: false)
    case .add: unsafe multiplyPlain(x, linear, into: y.address, add: true)
    case .activate(let activation):
      unsafe multiplyPlain(x, linear, into: y.address, add: false)
      activate(y, activation)
    case .gate(let activation):
      let count = x.count * linear.outputs
      let sums = unsafe scratch.productBuffer(count * MemoryLayout<Float>.size)
        .bindMemory(to: Float.self, capacity: count)
      unsafe multiplyPlain(x, linear, into: sums, add: false)
      unsafe activateMultiply(gate: y, up: sums, activation)
    }
  }

  /// y = x · Wᵀ + b, or y += x · Wᵀ + b.
  @unsafe private func multiplyPlain(
    _ x: Rows, _ linear: Linear, into y: UnsafeMutablePointer<Float>, add: Bool
  ) {
    if x.count <= Self.fewRows {
      unsafe multiplyFewRows(x, linear, into: y, add: add)
    } else {
      unsafe multiplyByLibrary(x, linear, into: y, add: add)
    }
  }

  @unsafe private func multiplyFewRows(
    _ x: Rows, _ linear: Linear, into y: UnsafeMutablePointer<Float>, add: Bool
  ) {
    // Multiples of four outputs, at least 32 KiB of weights.
    let grain = max(1, (8 << 10) / (4 * max(linear.inputs, 1)))
    let quads = (linear.outputs + 3) / 4
    parallelRanges(quads, grain: grain) { range in
      var matrix = unsafe linear.matrix
      unsafe vtw_multiply_f32(
        kernels, &matrix, 4 * range.lowerBound, min(4 * range.upperBound, linear.outputs),
        x.address, x.count, y, add ? 1 : 0)
    }
  }

  /// OpenBLAS, one single-threaded call per fixed block of rows and outputs: the library's sums
  /// depend on the shape of a call, so the blocks must not depend on the number of threads.
  @unsafe private func multiplyByLibrary(
    _ x: Rows, _ linear: Linear, into y: UnsafeMutablePointer<Float>, add: Bool
  ) {
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
      let out = unsafe y + row * outputs + column
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
  /// Panels of a tiled weight.
  fileprivate var panelCount: Int { weight.layout.paddedRows / 32 }

  @unsafe var biasAddress: UnsafePointer<Float>? {
    unsafe bias.map { unsafe $0.address.assumingMemoryBound(to: Float.self) }
  }

  @unsafe var matrix: vtw_matrix {
    unsafe vtw_matrix(
      encoding: weight.encoding.code, rows: outputs, columns: inputs, weights: weight.address,
      bias: biasAddress)
  }
}
