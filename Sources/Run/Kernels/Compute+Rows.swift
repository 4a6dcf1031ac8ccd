import CKernels
package import TensorCore

/// The nonlinearity of a feed-forward block.
package enum KernelActivation: Sendable, CaseIterable {
  /// x σ(x)
  case silu
  /// x (1 + erf(x / √2)) / 2
  case gelu
  /// GELU by its tanh approximation.
  case geluTanh
  /// x σ(1.702 x)
  case quickGELU

  var code: vtw_activation {
    switch self {
    case .silu: VTW_SILU
    case .gelu: VTW_GELU
    case .geluTanh: VTW_GELU_TANH
    case .quickGELU: VTW_QUICK_GELU
    }
  }
}

extension Compute {
  /// Rows that are worth a thread's while: about 16 Ki values.
  private func grain(_ width: Int) -> Int { max(1, (16 << 10) / max(width, 1)) }

  /// y[i] = decoded row `ids[i]` of `embedding`.
  ///
  /// - Parameter ids: each in `0..<embedding.rows`.
  package func gather(_ ids: [Int32], of embedding: TensorView, into y: Rows) {
    precondition(
      y.count == ids.count && y.width == embedding.columns,
      "\(ids.count) rows of \(embedding.shape) into \(y.count) x \(y.width)")
    for id in ids {
      precondition(id >= 0 && id < embedding.rows, "row \(id) of \(embedding.rows)")
    }
    parallelRanges(ids.count, grain: grain(y.width)) { range in
      for index in range {
        unsafe vtw_decode_row(
          embedding.encoding.code, embedding.address, embedding.columns, Int(ids[index]),
          y.address + index * y.width)
      }
    }
  }

  /// y = x / rms(x) · weight, row by row; `y` may be `x`.
  package func rmsNorm(_ x: Rows, weight: TensorView, epsilon: Float, into y: Rows) {
    checkNorm(x, y, [weight])
    parallelRanges(x.count, grain: grain(x.width)) { range in
      let start = range.lowerBound * x.width
      unsafe vtw_rms_norm(
        kernels, x.address + start, range.count, x.width, weight.vector, epsilon,
        y.address + start)
    }
  }

  /// y = (x - mean) / deviation · weight + bias, row by row; `y` may be `x`.
  package func layerNorm(
    _ x: Rows, weight: TensorView, bias: TensorView, epsilon: Float, into y: Rows
  ) {
    checkNorm(x, y, [weight, bias])
    parallelRanges(x.count, grain: grain(x.width)) { range in
      let start = range.lowerBound * x.width
      unsafe vtw_layer_norm(
        kernels, x.address + start, range.count, x.width, weight.vector, bias.vector, epsilon,
        y.address + start)
    }
  }

  private func checkNorm(_ x: Rows, _ y: Rows, _ vectors: [TensorView]) {
    precondition(
      x.count == y.count && x.width == y.width,
      "\(x.count) x \(x.width) into \(y.count) x \(y.width)")
    for vector in vectors {
      precondition(
        vector.encoding == .f32 && vector.rows * vector.columns == x.width,
        "\(vector.encoding.name) vector \(vector.shape) for rows of \(x.width)")
    }
  }

  /// x = activation(x).
  package func activate(_ x: Rows, _ activation: KernelActivation) {
    parallelRanges(x.count, grain: grain(x.width)) { range in
      unsafe vtw_activate(
        kernels, activation.code, x.address + range.lowerBound * x.width, range.count * x.width)
    }
  }

  /// gate = activation(gate) · up, element by element of `[gate.count, gate.width]`.
  @unsafe func activateMultiply(
    gate: Rows, up: UnsafePointer<Float>, _ activation: KernelActivation
  ) {
    parallelRanges(gate.count, grain: grain(gate.width)) { range in
      let start = range.lowerBound * gate.width
      unsafe vtw_activate_multiply(
        kernels, activation.code, gate.address + start, up + start, range.count * gate.width)
    }
  }

  /// y += x.
  package func add(_ x: Rows, to y: Rows) {
    precondition(
      x.count == y.count && x.width == y.width, "\(x.count) x \(x.width) to \(y.count) x \(y.width)"
    )
    parallelRanges(x.count, grain: grain(x.width)) { range in
      let start = range.lowerBound * x.width
      unsafe vtw_add(kernels, x.address + start, y.address + start, range.count * x.width)
    }
  }
}

extension TensorView {
  /// The values of an f32 tensor.
  @unsafe var vector: UnsafePointer<Float> {
    unsafe address.assumingMemoryBound(to: Float.self)
  }
}
