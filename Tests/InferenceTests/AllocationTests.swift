import Architecture
import CAllocations
import Inference
import Kernels
import TensorCore
import TestSupport
import Testing

@Suite struct AllocationTests {
  /// Buffers are larger than this, and closures and lists of a layer's matrices smaller.
  static let bufferBytes = 256

  @Test func countsWhatTheHeapIsAskedFor() {
    vtw_count_allocations(Self.bufferBytes)
    let rows = Rows(count: 8, width: 8)
    var list = [UInt8](repeating: 1, count: 300)
    list.append(2)
    #expect(vtw_counted_allocations() >= 2)
    vtw_count_allocations(1 << 20)
    _ = Rows(count: rows.count, width: list.count)
    #expect(vtw_counted_allocations() == 0)
  }

  /// As many buffers are allocated for three layers as for nine: none of them in the layer loop.
  @Test(arguments: [Encoding.f32, .q8], [1, 3])
  func layersAllocateNoBuffers(encoding: Encoding, threads: Int) throws {
    // What a process allocates once is not a layer's.
    _ = try allocations(layers: 3, encoding, threads)
    let few = try allocations(layers: 3, encoding, threads)
    let many = try allocations(layers: 9, encoding, threads)
    #expect(few == many, "prefill, another one, a token")
  }

  /// Buffers that a prefill, another one and a decoding step allocate.
  private func allocations(
    layers: Int, _ encoding: Encoding, _ threads: Int
  ) throws -> [Int] {
    var configuration = TinyModel.configuration
    configuration.text.layerCount = layers
    let compute = Compute(threads: threads)
    let model = try Model(
      configuration, try packed(try TinyModel.tensors(configuration), encoding), compute)
    let profile = ScheduleProfile(withdrawingAt: 2, of: layers)
    let cache = KeyValueCache(configuration.text, precision: .f16)
    let scratch = Scratch(configuration.text, capacity: 50)
    model.decoder.reserve(rows: 50)
    return [50, 50, 1].enumerated().map { turn, count in
      var rows = DecoderRows(
        hidden: Rows(count: count, width: configuration.text.hiddenSize),
        positions: (0..<count).map { Int32(50 * turn + $0) },
        classes: (0..<count).map { $0 < 30 && count > 1 ? .visual : .user })
      rows.hidden.fill(with: 0.5)
      vtw_count_allocations(Self.bufferBytes)
      model.decoder.forward(&rows, profile: profile, cache: cache, scratch: scratch)
      return Int(vtw_counted_allocations())
    }
  }

  /// The matrices of `table` in `encoding`.
  private func packed(_ table: TensorTable, _ encoding: Encoding) throws -> TensorTable {
    var result = TensorTable()
    for key in table.keys {
      let view = try #require(table[key])
      guard view.shape.dimensions.count == 2, key.role != .positionEmbedding else {
        result[key] = view
        continue
      }
      let values = view.region.copy(view.byteRange)
      let floats = unsafe values.withUnsafeBytes { unsafe Array($0.bindMemory(to: Float.self)) }
      let bytes = try TilePacker.pack(floats, columns: view.columns, encoding: encoding).bytes
      result[key] = TensorView(
        ByteRegion(copying: bytes), offset: 0, shape: view.shape, encoding: encoding)
    }
    return result
  }
}
