import Glibc
import Kernels
import TensorCore
import Testing

@Suite struct RowWiseTests {
  static let widths = [1, 7, 16, 31, 33, 80, 1000]

  @Test(arguments: InstructionSet.supported)
  func normsEqualTheirFormulas(set: InstructionSet) throws {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 11)
    for width in Self.widths {
      let x = noise.values(5 * width, scale: 3), weight = noise.values(width)
      let bias = noise.values(width)
      var rms: [Double] = [], layer: [Double] = []
      for row in 0..<5 {
        let line = x[row * width..<(row + 1) * width].map(Double.init)
        let mean = line.reduce(0, +) / Double(width)
        let square = line.reduce(0) { $0 + $1 * $1 } / Double(width)
        let variance = line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
        for i in 0..<width {
          rms.append(line[i] / (square + 1e-5).squareRoot() * Double(weight[i]))
          layer.append(
            (line[i] - mean) / (variance + 1e-5).squareRoot() * Double(weight[i])
              + Double(bias[i]))
        }
      }
      let w = try tensor(weight, [width]), b = try tensor(bias, [width])
      let y = Rows(count: 5, width: width)
      compute.rmsNorm(rows(x, width: width), weight: w, epsilon: 1e-5, into: y)
      expectClose(y.copy(), rms, tolerance: 2e-6, "\(set) rms \(width)")
      let inPlace = rows(x, width: width)
      compute.rmsNorm(inPlace, weight: w, epsilon: 1e-5, into: inPlace)
      #expect(inPlace.copy() == y.copy())
      compute.layerNorm(rows(x, width: width), weight: w, bias: b, epsilon: 1e-5, into: y)
      // A row of one value has no variance: the difference to the mean is rounding.
      expectClose(y.copy(), layer, tolerance: width == 1 ? 1e-4 : 3e-6, "\(set) layer \(width)")
    }
  }

  @Test(arguments: InstructionSet.supported, KernelActivation.allCases)
  func activationsArePrecise(set: InstructionSet, activation: KernelActivation) {
    let compute = Compute(threads: 1, instructionSet: set)
    let values = (-30000...30001).map { Float($0) / 1000 }
    let x = rows(values, width: values.count)
    compute.activate(x, activation)
    let found = x.copy()
    for index in values.indices {
      let expected = exact(activation, Double(values[index]))
      // 1e-6 of the value; where the value all but vanishes, exponents of rounded arguments.
      let bound = 1e-6 * abs(expected) + (abs(expected) < 1e-2 ? 3e-8 : 0)
      #expect(
        abs(Double(found[index]) - expected) <= bound, "\(set) \(activation) at \(values[index])")
    }
  }

  @Test(arguments: InstructionSet.supported, KernelActivation.allCases)
  func activationsAreTotal(set: InstructionSet, activation: KernelActivation) {
    let compute = Compute(threads: 1, instructionSet: set)
    let x = rows([.nan, 1e30, 200, 89, -89, -200, -1e30, 0], width: 8)
    compute.activate(x, activation)
    let found = x.copy()
    #expect(found[0].isNaN)
    #expect(Array(found[1...3]) == [1e30, 200, 89])
    #expect(found[4...].allSatisfy { abs($0) < 1e-30 })
  }

  @Test(arguments: InstructionSet.supported)
  func rotationEqualsTheRotatedPairs(set: InstructionSet) {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 13)
    for (heads, dimension) in [(1, 2), (3, 10), (4, 64), (2, 80), (2, 128)] {
      let half = dimension / 2
      let frequencies = (0..<half).map { pow(Float(10000), -Float($0) / Float(half)) }
      let positions: [Int32] = [0, 1, 17, 640, 4000, 100_003]
      let width = heads * dimension
      let x = noise.values(positions.count * width)
      var expected = x.map(Double.init)
      for (row, position) in positions.enumerated() {
        for head in 0..<heads {
          for i in 0..<half {
            let angle = Double(Float(position) * frequencies[i])
            let low = row * width + head * dimension + i
            let a = Double(x[low]), b = Double(x[low + half])
            expected[low] = a * cos(angle) - b * sin(angle)
            expected[low + half] = b * cos(angle) + a * sin(angle)
          }
        }
      }
      let y = rows(x, width: width)
      compute.rotate(
        y, by: compute.rotation(to: positions, frequencies: frequencies), headDimension: dimension)
      expectClose(y.copy(), expected, tolerance: 3e-7, "\(set) \(heads) x \(dimension)")
    }
  }

  @Test func rotationTablesAreNotMixedUp() {
    let compute = Compute(threads: 1)
    for _ in 0..<3 {
      for position in Int32(1)...6 {
        for frequency in [Float(0.5), 0.25] {
          let x = rows([1, 0], width: 2)
          compute.rotate(
            x, by: compute.rotation(to: [position], frequencies: [frequency]), headDimension: 2)
          let angle = Double(position) * Double(frequency)
          expectClose(x.copy(), [cos(angle), sin(angle)], tolerance: 1e-7, "\(position)")
        }
      }
    }
  }

  @Test(arguments: Encoding.allCases)
  func gatherDecodesRows(encoding: Encoding) throws {
    var noise = Noise(seed: 14)
    let table = try tensor(noise.values(70 * 37), [70, 37], encoding)
    let ids: [Int32] = [69, 0, 33, 33, 31, 32]
    let y = Rows(count: ids.count, width: 37)
    Compute(threads: 2).gather(ids, of: table, into: y)
    let all = TilePacker.unpack(table, rows: 0..<70)
    #expect(y.copy() == ids.flatMap { all[Int($0) * 37..<(Int($0) + 1) * 37] })
  }

  @Test(arguments: InstructionSet.supported)
  func addAdds(set: InstructionSet) {
    let compute = Compute(threads: 2, instructionSet: set)
    var noise = Noise(seed: 15)
    let a = noise.values(33 * 1001), b = noise.values(33 * 1001)
    let y = rows(b, width: 1001)
    compute.add(rows(a, width: 1001), to: y)
    #expect(y.copy() == a.indices.map { a[$0] + b[$0] })
  }
}
