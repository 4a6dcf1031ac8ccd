import Inference
import Kernels
import TensorCore
import Testing

@Suite struct SamplerTests {
  private func rows(_ values: [Float]) -> Rows {
    let rows = Rows(count: 1, width: values.count)
    rows.fill(from: values)
    return rows
  }

  @Test func greedyTakesTheFirstOfEquals() throws {
    var sampler = Sampler(SamplingOptions())
    #expect(try sampler.next(rows([0, 3, 3, -1])) == 1)
    #expect(try sampler.next(rows([.nan, -1, -2])) == 1)
  }

  @Test func refusesLogitsThatAreNotFinite() {
    #expect(throws: InputError.self) {
      var sampler = Sampler(SamplingOptions())
      _ = try sampler.next(rows([.nan, .nan]))
    }
    #expect(throws: InputError.self) {
      var sampler = Sampler(SamplingOptions())
      _ = try sampler.next(rows([.infinity, 1]))
    }
  }

  @Test func topKOneIsGreedyAtAnyTemperature() throws {
    var options = SamplingOptions()
    options.temperature = 5
    options.topK = 1
    var sampler = Sampler(options)
    for _ in 0..<20 { #expect(try sampler.next(rows([1, 2, 0])) == 1) }
  }

  @Test func drawsInProportionAndBySeed() throws {
    var options = SamplingOptions()
    options.temperature = 1
    var counts = [0, 0, 0]
    var first: [Int32] = []
    for run in 0..<2 {
      options.seed = 7
      var sampler = Sampler(options)
      var drawn: [Int32] = []
      for _ in 0..<4000 { drawn.append(try sampler.next(rows([0, 0.693147, -100]))) }
      if run == 0 { first = drawn } else { #expect(drawn == first) }
      for token in drawn { counts[Int(token)] += 1 }
    }
    let share = Double(counts[1]) / 8000
    #expect(abs(share - 2.0 / 3) < 0.03)
    #expect(counts[2] == 0)
  }

  @Test func topPAndMinPCutTheTail() throws {
    var options = SamplingOptions()
    options.temperature = 1
    options.topP = 0.6
    var nucleus = Sampler(options)
    options.topP = 1
    options.minP = 0.9
    var share = Sampler(options)
    for _ in 0..<200 {
      #expect(try nucleus.next(rows([2, 1, 0, -1])) == 0)
      #expect(try share.next(rows([2, 1, 0, -1])) == 0)
    }
  }

  @Test func repeatPenaltyMovesOn() throws {
    var options = SamplingOptions()
    options.repeatPenalty = 2
    var sampler = Sampler(options)
    #expect(try sampler.next(rows([3, 2])) == 0)
    #expect(try sampler.next(rows([3, 2])) == 1)
  }
}
