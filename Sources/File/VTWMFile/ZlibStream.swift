import CZlib

/// The zlib codec (RFC 1950) of cold sections.
enum ZlibStream {
  /// Compresses with fixed settings, so that the same bytes give the same bytes.
  static func deflate(_ bytes: [UInt8]) -> [UInt8] {
    let bound = Int(compressBound(UInt(bytes.count)))
    return unsafe Array(unsafeUninitializedCapacity: bound) { output, count in
      var size = UInt(bound)
      let status = unsafe bytes.withUnsafeBufferPointer { input in
        unsafe compress2(output.baseAddress, &size, input.baseAddress, UInt(input.count), 6)
      }
      precondition(status == Z_OK, "zlib could not compress \(bytes.count) bytes: \(status)")
      count = Int(size)
    }
  }

  /// Exactly `rawSize` bytes, or nil if the stream is damaged, needs a dictionary, holds another
  /// number of bytes, or has bytes after its end.
  static func inflate(_ bytes: [UInt8], rawSize: Int) -> [UInt8]? {
    var isWhole = false
    // zlib takes no null output, so an empty result still gets a byte of room.
    let result = unsafe [UInt8](unsafeUninitializedCapacity: rawSize + 1) { output, count in
      var size = UInt(rawSize)
      var consumed = UInt(bytes.count)
      let status = unsafe bytes.withUnsafeBufferPointer { input in
        unsafe uncompress2(output.baseAddress, &size, input.baseAddress, &consumed)
      }
      isWhole = status == Z_OK && size == UInt(rawSize) && consumed == UInt(bytes.count)
      count = isWhole ? rawSize : 0
    }
    return isWhole ? result : nil
  }
}
