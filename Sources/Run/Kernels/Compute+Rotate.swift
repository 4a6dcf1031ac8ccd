import CKernels

/// Cosines and sines of the rotary embedding for a list of positions.
struct RotationTable: Sendable {
  let positions: [Int32]
  let frequencies: [Float]
  /// `[positions, frequencies]`.
  let cosines: Rows
  let sines: Rows
}

extension Compute {
  /// Rotary position embedding in place; elements i and i + headDimension/2 of a head form a pair.
  ///
  /// The angle is the f32 product of position and frequency, as in Hugging Face's models; its
  /// cosine and sine are correctly rounded.
  /// - Parameters:
  ///   - x: `[rows, heads * headDimension]`.
  ///   - positions: one per row.
  ///   - frequencies: `headDimension / 2` angles per step of position.
  package func rotate(
    _ x: Rows, positions: [Int32], frequencies: [Float], headDimension: Int
  ) {
    precondition(
      positions.count == x.count && headDimension > 0 && headDimension % 2 == 0
        && x.width % headDimension == 0 && frequencies.count == headDimension / 2,
      """
      \(positions.count) positions and \(frequencies.count) frequencies for \(x.count) rows of \
      \(x.width) in heads of \(headDimension)
      """)
    // All layers of a pass rotate by the same angles.
    let table = scratch.rotation(positions: positions, frequencies: frequencies) {
      makeRotation(positions, frequencies)
    }
    let half = headDimension / 2
    parallelRanges(x.count, grain: max(1, (16 << 10) / max(x.width, 1))) { range in
      unsafe vtw_rotate(
        kernels, x.address + range.lowerBound * x.width, range.count, x.width / headDimension,
        headDimension, table.cosines.address + range.lowerBound * half,
        table.sines.address + range.lowerBound * half)
    }
  }

  private func makeRotation(_ positions: [Int32], _ frequencies: [Float]) -> RotationTable {
    let half = frequencies.count
    let table = RotationTable(
      positions: positions, frequencies: frequencies,
      cosines: Rows(count: positions.count, width: half),
      sines: Rows(count: positions.count, width: half))
    parallelRanges(positions.count, grain: 16) { range in
      unsafe frequencies.withUnsafeBufferPointer { frequencies in
        for row in range {
          unsafe vtw_rotation_table(
            positions[row], frequencies.baseAddress, half, table.cosines.address + row * half,
            table.sines.address + row * half)
        }
      }
    }
    return table
  }
}
