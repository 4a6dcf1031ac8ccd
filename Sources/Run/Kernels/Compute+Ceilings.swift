import CKernels
package import TensorCore

/// The arithmetic that a kernel is made of, and that bounds it.
package enum ArithmeticUnit: String, CaseIterable, Sendable {
  /// Products of 8-bit numbers.
  case int8
  /// Products of bf16 pairs.
  case bf16
  /// Fused multiply-adds of f32.
  case f32

  var code: vtw_unit {
    switch self {
    case .int8: VTW_UNIT_INT8
    case .bf16: VTW_UNIT_BF16
    case .f32: VTW_UNIT_F32
    }
  }
}

extension Compute {
  /// Whether the kernels of this instruction set have instructions for `unit`.
  package func has(_ unit: ArithmeticUnit) -> Bool {
    vtw_unit_operations(instructionSet.code, unit.code) > 0
  }

  /// The unit that bounds products with weights in `encoding`: the best the kernels could use.
  package func unit(for encoding: Encoding) -> ArithmeticUnit {
    switch encoding {
    case .f32, .f16: .f32
    case .bf16: has(.bf16) ? .bf16 : .f32
    default: .int8
    }
  }

  /// Operations per second of all threads when nothing but `unit` works, on registers alone.
  ///
  /// A multiply-add counts as two.  Takes about 20 ms.
  /// - Returns: nil where the instruction set has no such unit.
  package func operationsPerSecond(of unit: ArithmeticUnit) -> Double? {
    let perRound = Double(vtw_unit_operations(instructionSet.code, unit.code))
    guard perRound > 0 else { return nil }
    // 12 instructions of at least one a cycle: about half a millisecond a piece, short enough for
    // all threads to end together.
    let rounds = 100_000, pieces = 32 * threads
    let start = ContinuousClock.now
    parallel(pieces) { _ in vtw_run_unit(instructionSet.code, unit.code, rounds) }
    return perRound * Double(rounds * pieces) / (ContinuousClock.now - start).inSeconds
  }

  /// Bytes per second of all threads reading `tensors` once, in order, and doing nothing else.
  package func bytesPerSecond(reading tensors: [TensorView]) -> Double {
    var pieces: [(tensor: Int, bytes: Range<Int>)] = []
    for (index, tensor) in tensors.enumerated() {
      let count = tensor.byteRange.count
      for start in stride(from: 0, to: count, by: Self.streamPiece) {
        pieces.append((index, start..<min(start + Self.streamPiece, count)))
      }
    }
    let start = ContinuousClock.now
    parallel(pieces.count) { index in
      let (tensor, bytes) = pieces[index]
      _ = unsafe vtw_read_stream(
        instructionSet.code, tensors[tensor].address + bytes.lowerBound, bytes.count)
    }
    let seconds = (ContinuousClock.now - start).inSeconds
    return Double(tensors.reduce(0) { $0 + $1.byteRange.count }) / seconds
  }

  /// The same for plain memory.
  package func bytesPerSecond(reading rows: Rows) -> Double {
    let count = rows.count * rows.width * MemoryLayout<Float>.stride
    let pieces = (count + Self.streamPiece - 1) / Self.streamPiece
    let start = ContinuousClock.now
    parallel(pieces) { index in
      let first = index * Self.streamPiece
      _ = unsafe vtw_read_stream(
        instructionSet.code, UnsafeRawPointer(rows.address) + first,
        min(Self.streamPiece, count - first))
    }
    return Double(count) / (ContinuousClock.now - start).inSeconds
  }

  /// What a thread reads at a time: long against the prefetcher's start, short against a pass.
  private static let streamPiece = 1 << 20
}

extension Duration {
  fileprivate var inSeconds: Double {
    Double(components.seconds) + 1e-18 * Double(components.attoseconds)
  }
}
