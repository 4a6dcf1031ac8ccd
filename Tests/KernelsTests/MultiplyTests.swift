import Kernels
import TensorCore
import Testing

@Suite struct MultiplyTests {
  /// x · Wᵀ of the decoded weights in f64.
  private func reference(_ x: [Float], _ weight: TensorView, _ rows: Int) -> [Double] {
    let values = TilePacker.unpack(weight, rows: 0..<weight.rows)
    let columns = weight.columns
    var result: [Double] = []
    for m in 0..<rows {
      for n in 0..<weight.rows {
        var sum = 0.0
        for k in 0..<columns {
          let a = x[m * columns + k]
          sum +=
            Double(weight.encoding == .bf16 ? roundedToBF16(a) : a)
            * Double(values[n * columns + k])
        }
        result.append(sum)
      }
    }
    return result
  }

  /// Bound on the error of a sum of products of values below 1.
  private func tolerance(_ encoding: Encoding, columns: Int) -> Double {
    switch encoding {
    // f32 sums: partial sums near sqrt(n) / 3, each rounded by half an ulp; 4 deviations.
    case .f32, .f16, .bf16: 1e-6 + 6e-8 * Double(columns)
    // Activations are off by up to 1/254 of their group's largest, at random; 6 deviations.
    case .q8, .q4: 6 * (1.0 / 254) / 3 * Double(columns).squareRoot() + 0.006
    }
  }

  static let shapes: [(rows: Int, outputs: Int, inputs: Int)] = [
    (1, 1, 1), (1, 33, 31), (2, 32, 32), (3, 31, 33), (4, 70, 65), (5, 64, 96), (6, 40, 2),
    (7, 96, 127), (11, 33, 64), (12, 32, 160), (13, 65, 95), (25, 34, 48), (31, 100, 80),
    (1, 130, 2100), (13, 36, 2081), (40, 270, 33),
  ]

  @Test(arguments: InstructionSet.supported, Encoding.allCases)
  func equalsDoubleProductAtOddSizes(set: InstructionSet, encoding: Encoding) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 1)
    for (count, outputs, inputs) in Self.shapes {
      let x = noise.values(count * inputs)
      let weight = try tensor(noise.values(outputs * inputs), [outputs, inputs], encoding)
      let bias = noise.values(outputs), before = noise.values(count * outputs)
      let product = reference(x, weight, count)
      let label = "\(set) \(encoding) \(count) x \(outputs) x \(inputs)"
      let bound = tolerance(encoding, columns: inputs)

      let plain = Linear(weight: weight, bias: nil)
      let biased = Linear(weight: weight, bias: try tensor(bias, [outputs]))
      let y = rows(before, width: outputs)
      compute.multiply(rows(x, width: inputs), plain, into: y)
      expectClose(y.copy(), product, tolerance: bound, label)

      compute.multiply(rows(x, width: inputs), biased, into: y)
      let withBias = product.indices.map { product[$0] + Double(bias[$0 % outputs]) }
      expectClose(y.copy(), withBias, tolerance: bound, label + " + bias")

      y.fill(from: before)
      compute.multiply(rows(x, width: inputs), biased, .add, into: y)
      let added = withBias.indices.map { withBias[$0] + Double(before[$0]) }
      expectClose(y.copy(), added, tolerance: bound + 1e-6, label + " added")
    }
  }

  /// Ends of products at sizes with and without whole panels and tiles.
  @Test(arguments: InstructionSet.supported, Encoding.allCases)
  func activatedAndGatedSumsEqualTheFormula(set: InstructionSet, encoding: Encoding) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 7)
    for (count, outputs, inputs) in [(1, 64, 40), (3, 33, 64), (37, 70, 96), (40, 31, 33)] {
      let x = rows(noise.values(count * inputs, scale: 3), width: inputs)
      let (gate, up) = (
        Linear(
          weight: try tensor(noise.values(outputs * inputs), [outputs, inputs], encoding),
          bias: try tensor(noise.values(outputs), [outputs])),
        Linear(
          weight: try tensor(noise.values(outputs * inputs), [outputs, inputs], encoding),
          bias: nil)
      )
      let plain = [Rows(count: count, width: outputs), Rows(count: count, width: outputs)]
      compute.multiply(x, [gate, up], into: plain)
      let (gateSums, upSums) = (plain[0].copy(), plain[1].copy())
      for activation in KernelActivation.allCases {
        let label = "\(set) \(encoding) \(count) x \(outputs) x \(inputs) \(activation)"
        let activated = gateSums.map { exact(activation, Double($0)) }
        let y = Rows(count: count, width: outputs)
        compute.multiply(x, gate, .activate(activation), into: y)
        expectClose(y.copy(), activated, tolerance: 3e-5, label)
        compute.multiplyGated(x, gate: gate, up: up, activation, into: y)
        let gated = zip(activated, upSums).map { $0 * Double($1) }
        expectClose(y.copy(), gated, tolerance: 3e-4, label + " gated")
      }
    }
  }

  /// Gate and up in different encodings, as `--encoding-for` may choose.
  @Test(arguments: InstructionSet.supported)
  func gateAndUpMayDifferInEncoding(set: InstructionSet) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 8)
    let x = rows(noise.values(9 * 64), width: 64)
    let values = (noise.values(40 * 64), noise.values(40 * 64))
    for encodings in [(Encoding.q8, Encoding.q4), (.f32, .q8), (.bf16, .f32)] {
      let gate = Linear(weight: try tensor(values.0, [40, 64], encodings.0), bias: nil)
      let up = Linear(weight: try tensor(values.1, [40, 64], encodings.1), bias: nil)
      let plain = [Rows(count: 9, width: 40), Rows(count: 9, width: 40)]
      compute.multiply(x, [gate, up], into: plain)
      let y = Rows(count: 9, width: 40)
      compute.multiplyGated(x, gate: gate, up: up, .silu, into: y)
      let expected = zip(plain[0].copy(), plain[1].copy()).map {
        exact(.silu, Double($0)) * Double($1)
      }
      expectClose(y.copy(), expected, tolerance: 1e-4, "\(set) \(encodings)")
    }
  }

  @Test(arguments: InstructionSet.supported, Encoding.allCases)
  func bitsDoNotDependOnThreads(set: InstructionSet, encoding: Encoding) throws {
    var noise = Noise(seed: 2)
    let weight = try tensor(noise.values(500 * 777), [500, 777], encoding)
    for count in [1, 3, 5, 37] {
      let x = rows(noise.values(count * 777), width: 777)
      var results: [[Float]] = []
      for threads in [1, 2, 8] {
        let y = Rows(count: count, width: 500)
        Compute(threads: threads, instructionSet: set)
          .multiply(x, Linear(weight: weight, bias: nil), into: y)
        results.append(y.copy())
      }
      #expect(results[0] == results[1])
      #expect(results[0] == results[2])
    }
  }

  @Test(arguments: InstructionSet.supported, [Encoding.f16, .bf16, .q8, .q4])
  func bitsOfARowDoNotDependOnTheOthers(set: InstructionSet, encoding: Encoding) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 3)
    let linear = Linear(
      weight: try tensor(noise.values(70 * 2500), [70, 2500], encoding),
      bias: try tensor(noise.values(70), [70]))
    let x = rows(noise.values(29 * 2500), width: 2500)
    let all = Rows(count: 29, width: 70)
    compute.multiply(x, linear, into: all)
    for row in 0..<29 {
      let one = Rows(count: 1, width: 70)
      compute.multiply(x[row..<row + 1], linear, into: one)
      #expect(one.copy() == all[row..<row + 1].copy())
    }
  }

  @Test(arguments: InstructionSet.supported)
  func severalLayersEqualOneByOne(set: InstructionSet) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 4)
    let x = rows(noise.values(9 * 64), width: 64)
    let linears = try [
      (Encoding.q8, 96), (.q4, 70), (.bf16, 40), (.q8, 33), (.f32, 20), (.f16, 64),
    ].map {
      Linear(weight: try tensor(noise.values($1 * 64), [$1, 64], $0), bias: nil)
    }
    let together = linears.map { Rows(count: 9, width: $0.outputs) }
    compute.multiply(x, linears, into: together)
    for (linear, y) in zip(linears, together) {
      let alone = Rows(count: 9, width: linear.outputs)
      compute.multiply(x, linear, into: alone)
      #expect(alone.copy() == y.copy())
    }
  }

  @Test(arguments: InstructionSet.supported, Encoding.allCases)
  func anyBytesRun(set: InstructionSet, encoding: Encoding) throws {
    let compute = Compute(threads: 1, instructionSet: set)
    var noise = Noise(seed: 5)
    let layout = try #require(TileLayout(encoding, rows: 64, columns: 96))
    for pattern in 0..<3 {
      let bytes = (0..<layout.byteCount).map { _ in
        pattern == 0 ? 0xFF : UInt8(truncatingIfNeeded: noise.bits())
      }
      let weight = try #require(
        TensorView(ByteRegion(copying: bytes), offset: 0, shape: [64, 96], encoding: encoding))
      for count in [1, 7] {
        let y = Rows(count: count, width: 64)
        compute.multiply(
          rows(noise.values(count * 96), width: 96), Linear(weight: weight, bias: nil), into: y)
        let isAllNaN = y.copy().allSatisfy { $0.isNaN }
        if pattern == 0, !encoding.isQuantized { #expect(isAllNaN) }
      }
    }
  }

  @Test(arguments: InstructionSet.supported, Encoding.allCases)
  func nonFiniteActivationsSpoilTheirRowOnly(set: InstructionSet, encoding: Encoding) throws {
    let compute = Compute(threads: 1, instructionSet: set)
    var noise = Noise(seed: 6)
    let weight = try tensor(noise.values(32 * 64), [32, 64], encoding)
    for bad in [Float.nan, .infinity, -.infinity] {
      var x = noise.values(8 * 64)
      x[3 * 64 + 40] = bad
      let y = Rows(count: 8, width: 32)
      compute.multiply(rows(x, width: 64), Linear(weight: weight, bias: nil), into: y)
      for row in 0..<8 {
        let finite = y[row..<row + 1].copy().map { $0.isFinite }
        #expect(finite == Array(repeating: row != 3, count: 32))
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func q8IntegersAreExact(set: InstructionSet) throws {
    // Weights and activations that their 8-bit forms hold exactly, at the ends of their ranges.
    let compute = Compute(threads: 1, instructionSet: set)
    var noise = Noise(seed: 7)
    let choices: [Float] = [-127, 127, -126, 1, 0, 64]
    func pick(_ count: Int) -> [Float] {
      (0..<count).map { $0 % 32 == 0 ? 127 : choices[Int(noise.bits() % 6)] }
    }
    let w = pick(64 * 96), x = pick(6 * 96)
    let weight = try tensor(w, [64, 96], .q8)
    #expect(TilePacker.unpack(weight, rows: 0..<64) == w)
    let y = Rows(count: 6, width: 64)
    compute.multiply(rows(x, width: 96), Linear(weight: weight, bias: nil), into: y)
    var expected: [Double] = []
    for m in 0..<6 {
      for n in 0..<64 {
        expected.append((0..<96).reduce(0) { $0 + Double(x[m * 96 + $1] * w[n * 96 + $1]) })
      }
    }
    expectClose(y.copy(), expected, tolerance: 0, "\(set)")
  }
}
