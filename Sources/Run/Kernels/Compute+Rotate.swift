import CKernels

/// Cosines and sines of the rotary embedding, a row per position.
package struct Rotation: Sendable {
  /// `[positions, headDimension / 2]`.
  let cosines: Rows
  let sines: Rows

  package var count: Int { cosines.count }

  package subscript(_ range: Range<Int>) -> Rotation {
    Rotation(cosines: cosines[range], sines: sines[range])
  }

  /// Rotates rows of heads in place.
  func apply(to x: Rows, _ headDimension: Int, _ kernels: OpaquePointer) {
    precondition(
      count == x.count && 2 * cosines.width == headDimension && x.width % headDimension == 0,
      "\(count) x \(cosines.width) angles for \(x.count) x \(x.width) in heads of \(headDimension)")
    unsafe vtw_rotate(
      kernels, x.address, x.count, x.width / headDimension, headDimension, cosines.address,
      sines.address)
  }
}

extension Compute {
  /// The rotation to `positions`, which all layers of a pass share: one that was used of late is
  /// not made again.
  ///
  /// The angle is the f32 product of position and frequency, as in Hugging Face's models; its
  /// cosine and sine are correctly rounded.
  /// - Parameter frequencies: `headDimension / 2` angles per step of position.
  package func rotation(to positions: [Int32], frequencies: [Float]) -> Rotation {
    scratch.rotation(positions: positions, frequencies: frequencies) {
      makeRotation(positions, frequencies)
    }
  }

  /// Rotary position embedding in place; elements i and i + headDimension/2 of a head form a pair.
  ///
  /// - Parameters:
  ///   - x: `[rows, heads * headDimension]`.
  ///   - rotation: of as many positions as `x` has rows.
  package func rotate(_ x: Rows, by rotation: Rotation, headDimension: Int) {
    parallelRanges(x.count, grain: max(1, (16 << 10) / max(x.width, 1))) { range in
      unsafe rotation[range].apply(to: x[range], headDimension, kernels)
    }
  }

  private func makeRotation(_ positions: [Int32], _ frequencies: [Float]) -> Rotation {
    let half = frequencies.count
    let rotation = Rotation(
      cosines: Rows(count: positions.count, width: half),
      sines: Rows(count: positions.count, width: half))
    parallelRanges(positions.count, grain: 16) { range in
      unsafe frequencies.withUnsafeBufferPointer { frequencies in
        for row in range {
          unsafe vtw_rotation_table(
            positions[row], frequencies.baseAddress, half, rotation.cosines.address + row * half,
            rotation.sines.address + row * half)
        }
      }
    }
    return rotation
  }
}
