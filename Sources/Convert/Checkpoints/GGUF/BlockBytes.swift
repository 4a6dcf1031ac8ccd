/// The bytes of one block, at any alignment.
///
/// Offsets are not checked: each decoder uses those of its own block, and `SourceTensor` has made
/// sure that the block is there.
@safe struct BlockBytes {
  private let base: UnsafeRawPointer

  @unsafe init(_ base: UnsafeRawPointer) { unsafe self.base = base }

  subscript(_ offset: Int) -> Int {
    unsafe Int(base.load(fromByteOffset: offset, as: UInt8.self))
  }

  func signed(_ offset: Int) -> Int {
    unsafe Int(base.load(fromByteOffset: offset, as: Int8.self))
  }

  func half(_ offset: Int) -> Float {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    return Float(Float16(bitPattern: UInt16(littleEndian: bits)))
  }

  func word(_ offset: Int) -> Int {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    return Int(UInt32(littleEndian: bits))
  }

  func double(_ offset: Int) -> Double {
    let bits = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    return Double(bitPattern: UInt64(littleEndian: bits))
  }
}

/// Where the values of one block go; places are not checked, as for `BlockBytes`.
@safe struct BlockValues {
  private let base: UnsafeMutablePointer<Float>

  @unsafe init(_ base: UnsafeMutablePointer<Float>) { unsafe self.base = base }

  subscript(_ place: Int) -> Float {
    get { unsafe base[place] }
    nonmutating set { unsafe base[place] = newValue }
  }
}

/// Where integers, scales and minima of one block go; places are not checked either.
@safe struct BlockParts {
  let integers: Places<UInt8>
  let scales: Places<Float>
  let minima: Places<Float>

  @safe struct Places<Element> {
    fileprivate let base: UnsafeMutablePointer<Element>

    subscript(_ place: Int) -> Element {
      get { unsafe base[place] }
      nonmutating set { unsafe base[place] = newValue }
    }
  }

  @unsafe init(
    integers: UnsafeMutablePointer<UInt8>, scales: UnsafeMutablePointer<Float>,
    minima: UnsafeMutablePointer<Float>
  ) {
    unsafe self.integers = Places(base: integers)
    unsafe self.scales = Places(base: scales)
    unsafe self.minima = Places(base: minima)
  }
}
