import Kernels
import Testing

@Suite struct PiecesTests {
  @Test(arguments: [0, 1, 2, 3, 7, 64, 176, 1000], [1, 2, 3, 64])
  func followEachOtherToTheEnd(total: Int, threads: Int) {
    for largest in [0, 1, 5, 13, 5000] {
      let pieces = Pieces(of: total, atMost: largest, threads: threads)
      var next = 0
      for index in 0..<pieces.count {
        #expect(pieces[index].lowerBound == next)
        #expect((1...max(largest, 1)).contains(pieces[index].count))
        next = pieces[index].upperBound
      }
      #expect(next == total)
    }
  }

  @Test func shrinkToOne() {
    let pieces = Pieces(of: 64, atMost: 100, threads: 2)
    let sizes = (0..<pieces.count).map { pieces[$0].count }
    #expect(sizes == sizes.sorted(by: >))
    #expect(sizes.first == 16)
    #expect(sizes.last == 1)
  }
}
