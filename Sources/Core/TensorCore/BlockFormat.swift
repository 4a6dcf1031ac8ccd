import CSystem

/// How a foreign file stores numbers: in blocks of so many elements and bytes.
///
/// Plain number types are blocks of one element; packed and quantized ones share bytes or scales
/// among the elements of a block.
@safe package struct BlockFormat: Sendable {
  /// Turns `blockCount` blocks into f32: (values, blocks, blockCount).
  ///
  /// The blocks have any alignment and do not overlap the values.
  package typealias Decoding =
    @Sendable (UnsafeMutablePointer<Float>, UnsafeRawPointer, _ blockCount: Int) -> Void

  /// As GGUF and safetensors call it: "BF16", "Q4_K".
  package let name: String
  package let elementCount: Int
  package let byteCount: Int
  /// Nil for types that are only named and measured.
  package let decode: Decoding?
  /// Nil unless an encoding holds the numbers of this format as they are.
  package let integers: BlockIntegers?

  /// A format that is only named and measured.
  package init(_ name: String, elements: Int = 1, bytes: Int) {
    self.name = name
    elementCount = elements
    byteCount = bytes
    unsafe decode = nil
    integers = nil
  }

  /// A readable format.
  @unsafe package init(
    _ name: String, elements: Int = 1, bytes: Int, integers: BlockIntegers? = nil,
    decode: @escaping Decoding
  ) {
    self.name = name
    elementCount = elements
    byteCount = bytes
    self.integers = integers
    unsafe self.decode = decode
  }

  /// Whether `SourceTensor.readRows` can turn it into f32.
  package var isReadable: Bool { unsafe decode != nil }

  /// Bytes of a tensor of `shape`; nil if they overflow or end inside a block.
  package func byteCount(of shape: Shape) -> Int? {
    guard let count = checkedProduct(shape.dimensions), count.isMultiple(of: elementCount) else {
      return nil
    }
    return checkedProduct([count / elementCount, byteCount])
  }

  package static let f32 = unsafe BlockFormat("F32", bytes: 4) { values, blocks, count in
    unsafe UnsafeMutableRawPointer(values).copyMemory(from: blocks, byteCount: 4 * count)
  }
  package static let f16 = unsafe BlockFormat("F16", bytes: 2) { values, blocks, count in
    unsafe vtw_f16_to_f32(values, blocks, count)
  }
  package static let bf16 = unsafe BlockFormat("BF16", bytes: 2) { values, blocks, count in
    unsafe vtw_bf16_to_f32(values, blocks, count)
  }
}
