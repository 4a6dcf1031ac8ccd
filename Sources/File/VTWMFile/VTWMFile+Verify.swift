package import TensorCore

extension VTWMFile {
  /// Reads every byte: checksums of all tensors and sections, zero padding, and that no weight and
  /// no scale is infinite or not a number.
  ///
  /// - Parameter progress: is told the share that was read, 0...1.
  package func verify(progress: ((Double) -> Void)? = nil) throws(InputError) {
    for section in sections {
      try section.type == .weights ? verifyWeights(section) : verifyCold(section)
      progress?(Double(section.byteRange.upperBound) / Double(byteCount))
    }
  }

  private func verifyCold(_ section: SectionInfo) throws(InputError) {
    let stored = region.copy(section.byteRange)
    guard section.type.content != nil else {
      return try section.check(CRC32(of: stored).value, file: path)
    }
    try check(SHA256Digest.of(try section.raw(stored, file: path)), section)
  }

  private func check(_ digest: [UInt8], _ section: SectionInfo) throws(InputError) {
    guard digest == section.sha256 else {
      throw InputError(path, "\(section.name): SHA-256 is wrong; the file was changed")
    }
  }

  private func verifyWeights(_ section: SectionInfo) throws(InputError) {
    var digest = SHA256Digest()
    var checksum = CRC32()
    var end = section.offset
    for info in tensorInfos where section.byteRange.contains(info.byteRange.lowerBound) {
      let padding = region.copy(end..<info.byteRange.lowerBound)
      guard padding.allSatisfy({ $0 == 0 }) else {
        throw InputError(path, "padding before tensor '\(info.key)' is not zero")
      }
      digest.update(padding)
      checksum.append(CRC32(of: padding).value, count: padding.count)
      let crc = try verifyTensor(info, &digest)
      checksum.append(crc, count: info.byteRange.count)
      end = info.byteRange.upperBound
    }
    try section.check(checksum.value, file: path)
    try check(digest.finish(), section)
  }

  /// Checks one tensor, piece by piece, and returns its CRC-32.
  private func verifyTensor(
    _ info: TensorInfo, _ digest: inout SHA256Digest
  ) throws(InputError) -> UInt32 {
    // Whole tiles of every encoding, small enough to stay in the cache between the three passes.
    let pieceSize = info.encoding.tileBytes * (1 + (256 << 10) / info.encoding.tileBytes)
    var checksum = CRC32()
    var place: Int?
    for start in stride(from: 0, to: info.byteRange.count, by: pieceSize) {
      let count = min(pieceSize, info.byteRange.count - start)
      let piece = unsafe UnsafeRawBufferPointer(
        start: region.address(at: info.byteRange.lowerBound + start), count: count)
      unsafe checksum.update(piece)
      unsafe digest.update(piece)
      if place == nil, let inside = unsafe firstNonFinite(piece, info.encoding) {
        place = start + inside
      }
    }
    guard checksum.value == info.crc else {
      throw InputError(path, "tensor '\(info.key)': checksum is wrong; the file is damaged")
    }
    if let place {
      throw InputError(
        path,
        "tensor '\(info.key)': \(info.encoding.isQuantized ? "scale" : "weight") at byte \(place)"
          + " is not finite")
    }
    return checksum.value
  }
}

/// Where in whole tiles the first number lies that is infinite or not a number.
@unsafe private func firstNonFinite(
  _ bytes: UnsafeRawBufferPointer, _ encoding: Encoding
) -> Int? {
  switch encoding {
  case .f32: return unsafe firstNonFinite(bytes, UInt32.self, exponent: 0x7F80_0000)
  case .f16: return unsafe firstNonFinite(bytes, UInt16.self, exponent: 0x7C00)
  case .bf16: return unsafe firstNonFinite(bytes, UInt16.self, exponent: 0x7F80)
  case .q8, .q4, .q4a, .q5a, .q6:
    // A tile begins with f16 scales and minima.
    let scaleBytes = encoding.scaleBytes
    for tile in stride(from: 0, to: bytes.count, by: encoding.tileBytes) {
      let scales = unsafe UnsafeRawBufferPointer(rebasing: bytes[tile..<tile + scaleBytes])
      if let place = unsafe firstNonFinite(scales, UInt16.self, exponent: 0x7C00) {
        return tile + place
      }
    }
    return nil
  }
}

@unsafe private func firstNonFinite<T: FixedWidthInteger>(
  _ bytes: UnsafeRawBufferPointer, _ type: T.Type, exponent: T
) -> Int? {
  let size = T.bitWidth / 8
  for place in stride(from: 0, to: bytes.count, by: size)
  where unsafe bytes.load(fromByteOffset: place, as: T.self) & exponent == exponent {
    return place
  }
  return nil
}
