import Glibc
import Kernels
import TensorCore
import Testing

@Suite struct AttentionTests {
  struct Case: CustomStringConvertible {
    var queries: Int
    var keys: Int
    var heads: Int
    var keyValueHeads: Int
    var dimension: Int
    /// Visible rows per query, or nil for all.
    var visible: [Int32]?
    var description: String { "\(queries) x \(keys), \(heads)/\(keyValueHeads) x \(dimension)" }
  }

  static let cases: [Case] = [
    Case(queries: 1, keys: 1, heads: 1, keyValueHeads: 1, dimension: 8),
    Case(queries: 1, keys: 300, heads: 8, keyValueHeads: 2, dimension: 64),
    Case(queries: 13, keys: 129, heads: 3, keyValueHeads: 3, dimension: 48),
    Case(queries: 7, keys: 65, heads: 2, keyValueHeads: 1, dimension: 80),
    Case(queries: 5, keys: 127, heads: 2, keyValueHeads: 2, dimension: 256),
    Case(queries: 4, keys: 33, heads: 6, keyValueHeads: 2, dimension: 1),
    Case(
      queries: 40, keys: 170, heads: 4, keyValueHeads: 2, dimension: 32,
      visible: (0..<40).map { 131 + $0 }),
    Case(
      queries: 6, keys: 260, heads: 2, keyValueHeads: 2, dimension: 72,
      visible: [0, 1, 260, 128, 129, 0]),
  ]

  /// Softmax attention in f64.
  private func reference(
    _ c: Case, _ q: [Float], _ k: [Float], _ v: [Float], _ scale: Float
  ) -> [Double] {
    let d = c.dimension, kvWidth = c.keyValueHeads * d
    var out = [Double](repeating: 0, count: q.count)
    for i in 0..<c.queries {
      let seen = c.visible.map { Int($0[i]) } ?? c.keys
      if seen == 0 { continue }
      for h in 0..<c.heads {
        let at = (i * c.heads + h) * d, column = h / (c.heads / c.keyValueHeads) * d
        let scores = (0..<seen).map { j in
          Double(scale)
            * (0..<d).reduce(0.0) { $0 + Double(q[at + $1]) * Double(k[j * kvWidth + column + $1]) }
        }
        let top = scores.reduce(-Double.infinity, max)
        let weights = scores.map { exp($0 - top) }
        let sum = weights.reduce(0, +)
        for e in 0..<d {
          out[at + e] =
            (0..<seen).reduce(0.0) {
              $0 + weights[$1] * Double(v[$1 * kvWidth + column + e])
            } / sum
        }
      }
    }
    return out
  }

  private func run(
    _ c: Case, _ q: [Float], _ cache: KeyValueRows, _ scale: Float, on compute: Compute
  ) -> [Float] {
    let out = Rows(count: c.queries, width: c.heads * c.dimension)
    compute.attend(
      rows(q, width: c.heads * c.dimension), to: cache, headCount: c.heads, scale: scale,
      visible: c.visible ?? Array(repeating: Int32(c.keys), count: c.queries), into: out)
    return out.copy()
  }

  private func cache(
    _ c: Case, _ k: [Float], _ v: [Float], _ precision: KeyValueRows.Precision
  ) -> KeyValueRows {
    let width = c.keyValueHeads * c.dimension
    let result = KeyValueRows(
      capacity: c.keys, keyValueHeads: c.keyValueHeads, headDimension: c.dimension,
      precision: precision)
    let keys = rows(k, width: width), values = rows(v, width: width)
    // In two parts, as prefill and decoding do.
    let first = c.keys / 3
    result.append(keys: keys[0..<first], values: values[0..<first])
    result.append(keys: keys[first..<c.keys], values: values[first..<c.keys])
    return result
  }

  @Test(arguments: InstructionSet.supported, [KeyValueRows.Precision.f32, .f16])
  func equalsSoftmaxAttention(set: InstructionSet, precision: KeyValueRows.Precision) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 20)
    for c in Self.cases {
      let q = noise.values(c.queries * c.heads * c.dimension, scale: 4)
      var k = noise.values(c.keys * c.keyValueHeads * c.dimension, scale: 4)
      var v = noise.values(c.keys * c.keyValueHeads * c.dimension)
      let held = cache(c, k, v, precision)
      if precision == .f16 {
        // What the cache holds: both rounded to f16.
        let columns = c.keyValueHeads * c.dimension
        k = TilePacker.unpack(try tensor(k, [c.keys, columns], .f16), rows: 0..<c.keys)
        v = TilePacker.unpack(try tensor(v, [c.keys, columns], .f16), rows: 0..<c.keys)
      }
      let scale = 1 / Float(c.dimension).squareRoot()
      // Scores reach about 30, in f32 known to 2e-6, and so are their exponentials.
      expectClose(
        run(c, q, held, scale, on: compute), reference(c, q, k, v, scale), tolerance: 1e-5,
        "\(set) \(precision) \(c)")
    }
  }

  /// Rounds each group of 32 dimensions of a head to integers of its scale, as the cache does.
  private func roundedToQ8(_ values: [Float], dimension: Int) -> [Float] {
    var result = values
    for head in stride(from: 0, to: values.count, by: dimension) {
      for start in stride(from: head, to: head + dimension, by: 32) {
        let group = start..<min(start + 32, head + dimension)
        let scale = Float(Float16(values[group].map(abs).max().map { $0 / 127 } ?? 0))
        for i in group {
          let quant = (values[i] / scale).rounded(.toNearestOrEven)
          result[i] = scale > 0 ? min(max(quant, -127), 127) * scale : 0
        }
      }
    }
    return result
  }

  @Test(arguments: InstructionSet.supported)
  func q8HoldsTheNearestIntegers(set: InstructionSet) {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 25)
    for c in Self.cases {
      let q = noise.values(c.queries * c.heads * c.dimension, scale: 4)
      let k = noise.values(c.keys * c.keyValueHeads * c.dimension, scale: 4)
      let v = noise.values(c.keys * c.keyValueHeads * c.dimension)
      let width = c.keyValueHeads * c.dimension
      let held = KeyValueRows(
        capacity: c.keys, keyValueHeads: c.keyValueHeads, headDimension: c.dimension,
        precision: .q8)
      compute.append(keys: rows(k, width: width), values: rows(v, width: width), to: held)
      let scale = 1 / Float(c.dimension).squareRoot()
      let found = run(c, q, held, scale, on: compute)
      let roundedK = roundedToQ8(k, dimension: c.dimension)
      let roundedV = roundedToQ8(v, dimension: c.dimension)
      // A tie that the inverse of the scale breaks the other way moves a key by one step.
      expectClose(
        found, reference(c, q, roundedK, roundedV, scale), tolerance: 2e-3, "\(set) q8 \(c)")
      // Against exact keys and values: half a step of 1/127 in each.
      expectClose(found, reference(c, q, k, v, scale), tolerance: 0.1, "\(set) f32 \(c)")
    }
  }

  /// One query over many keys is shared out by blocks of the cache where there are more threads
  /// than heads; the same query among many is not.
  @Test(arguments: InstructionSet.supported, KeyValueRows.Precision.allCases)
  func blocksApartGiveTheSameBits(set: InstructionSet, precision: KeyValueRows.Precision) {
    var noise = Noise(seed: 26)
    let c = Case(queries: 1, keys: 700, heads: 8, keyValueHeads: 1, dimension: 64)
    let q = noise.values(40 * 8 * 64), k = noise.values(700 * 64), v = noise.values(700 * 64)
    let held = cache(c, k, v, precision)
    let results = [1, 2, 8, 64].map {
      run(c, Array(q[..<512]), held, 0.2, on: Compute(threads: $0, instructionSet: set))
    }
    for other in results { #expect(other == results[0]) }
    var many = c
    many.queries = 40
    let all = run(many, q, held, 0.2, on: Compute(threads: 2, instructionSet: set))
    #expect(Array(all[..<512]) == results[0])
  }

  @Test(arguments: KeyValueRows.Precision.allCases)
  func rotatedRowsAreAppendedAsIfOneByOne(precision: KeyValueRows.Precision) {
    var noise = Noise(seed: 27)
    let frequencies: [Float] = (0..<20).map { 1 / Float($0 + 1) }
    let positions = (0..<150).map { Int32(3 * $0) }
    let k = noise.values(150 * 120), v = noise.values(150 * 120), q = noise.values(90 * 240)
    func result(_ threads: Int, fused: Bool) -> ([UInt8], [Float]) {
      let compute = Compute(threads: threads)
      let held = KeyValueRows(
        capacity: 170, keyValueHeads: 3, headDimension: 40, precision: precision)
      let keys = rows(k, width: 120), values = rows(v, width: 120), queries = rows(q, width: 240)
      held.append(keys: keys[0..<17], values: values[0..<17])
      let rotation = compute.rotation(to: positions, frequencies: frequencies)
      if fused {
        compute.append(
          keys: keys, values: values, keyRotation: rotation, queries: queries,
          queryRotation: rotation[60..<150], to: held)
      } else {
        compute.rotate(keys, by: rotation, headDimension: 40)
        compute.rotate(queries, by: rotation[60..<150], headDimension: 40)
        held.append(keys: keys, values: values)
      }
      return (held.copyOut(0..<167), queries.copy())
    }
    let expected = result(1, fused: false)
    for threads in [1, 2, 8] {
      let found = result(threads, fused: true)
      #expect(found.0 == expected.0 && found.1 == expected.1)
    }
  }

  /// Few queries read the cache as it is and many widen it first; both round alike.
  @Test(arguments: InstructionSet.supported, KeyValueRows.Precision.allCases)
  func bitsDoNotDependOnThreadsOrOtherQueries(
    set: InstructionSet, precision: KeyValueRows.Precision
  ) {
    var noise = Noise(seed: 21)
    let c = Case(
      queries: 50, keys: 250, heads: 6, keyValueHeads: 2, dimension: 40,
      visible: (0..<50).map { 200 + $0 })
    let q = noise.values(c.queries * c.heads * c.dimension)
    let k = noise.values(c.keys * c.keyValueHeads * c.dimension)
    let v = noise.values(c.keys * c.keyValueHeads * c.dimension)
    let held = cache(c, k, v, precision)
    let results = [1, 2, 8].map {
      run(c, q, held, 0.2, on: Compute(threads: $0, instructionSet: set))
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
    let compute = Compute(threads: 1, instructionSet: set)
    let width = c.heads * c.dimension
    // 3, 6, 9 and 12 rows of each key/value head.
    for few in 1...4 {
      for i in [0, 17, 50 - few] {
        var some = c
        some.queries = few
        some.visible = (i..<i + few).map { Int32(200 + $0) }
        let part = i * width..<(i + few) * width
        #expect(run(some, Array(q[part]), held, 0.2, on: compute) == Array(results[0][part]))
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func rowsBeforeATruncationDoNotLeak(set: InstructionSet) {
    let compute = Compute(threads: 1, instructionSet: set)
    let c = Case(queries: 3, keys: 40, heads: 1, keyValueHeads: 1, dimension: 16)
    var noise = Noise(seed: 22)
    let q = noise.values(48), k = noise.values(40 * 16), v = noise.values(40 * 16)
    let held = KeyValueRows(capacity: 300, keyValueHeads: 1, headDimension: 16, precision: .f32)
    let junk = Rows(count: 300, width: 16)
    junk.fill(with: .nan)
    held.append(keys: junk, values: junk)
    held.truncate(to: 0)
    held.append(keys: rows(k, width: 16), values: rows(v, width: 16))
    #expect(run(c, q, held, 1, on: compute) == run(c, q, cache(c, k, v, .f32), 1, on: compute))
  }
}

@Suite struct KeyValueRowsTests {
  @Test(arguments: KeyValueRows.Precision.allCases)
  func copiedRowsAreTheSameRows(precision: KeyValueRows.Precision) {
    var noise = Noise(seed: 23)
    let width = 3 * 40
    let first = KeyValueRows(
      capacity: 500, keyValueHeads: 3, headDimension: 40, precision: precision)
    let keys = rows(noise.values(300 * width), width: width)
    let values = rows(noise.values(300 * width), width: width)
    first.append(keys: keys, values: values)
    #expect(first.count == 300)
    // q8: an f16 scale for each of two groups of a head of 40.
    let rowBytes =
      switch precision {
      case .f32: 2 * width * 4
      case .f16: 2 * width * 2
      case .q8: 2 * (width + 3 * 2 * 2)
      }
    #expect(first.byteCount == 300 * rowBytes)

    let second = KeyValueRows(
      capacity: 500, keyValueHeads: 3, headDimension: 40, precision: precision)
    second.append(keys: keys[0..<100], values: values[0..<100])
    second.copyIn(first.copyOut(100..<300))
    #expect(second.copyOut(0..<300) == first.copyOut(0..<300))
    if precision == .f32 {
      let row = second.copyOut(131..<132)
      let floats = unsafe row.withUnsafeBytes { unsafe Array($0.bindMemory(to: Float.self)) }
      #expect(floats == keys[131..<132].copy() + values[131..<132].copy())
    }
  }

  @Test func truncationKeepsTheRowsBefore() {
    var noise = Noise(seed: 24)
    let cache = KeyValueRows(capacity: 1000, keyValueHeads: 2, headDimension: 64, precision: .f16)
    let x = rows(noise.values(900 * 128), width: 128)
    cache.append(keys: x, values: x)
    let before = cache.copyOut(0..<130)
    cache.truncate(to: 130)
    #expect(cache.count == 130)
    #expect(cache.copyOut(0..<130) == before)
    cache.append(keys: x[0..<870], values: x[0..<870])
    #expect(cache.count == 1000)
    cache.removeAll()
    #expect(cache.count == 0 && cache.byteCount == 0)
  }

  @Test func largeValuesSaturateInF16() {
    let cache = KeyValueRows(capacity: 1, keyValueHeads: 1, headDimension: 2, precision: .f16)
    cache.append(keys: rows([1e9, -1e9], width: 2), values: rows([65504, -70000], width: 2))
    #expect(cache.copyOut(0..<1) == [0xFF, 0x7B, 0xFF, 0xFB, 0xFF, 0x7B, 0xFF, 0xFB])
  }

  @Test func hugeCapacityCostsNoMemory() {
    let cache = KeyValueRows(
      capacity: 1 << 22, keyValueHeads: 32, headDimension: 128, precision: .f16)
    #expect(cache.count == 0 && cache.byteCount == 0)
  }
}
