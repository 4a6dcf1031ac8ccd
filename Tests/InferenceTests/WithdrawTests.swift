import Architecture
import Inference
import Kernels
import Testing

@Suite struct WithdrawTests {
  private func rows(_ classes: [TokenClass]) -> DecoderRows {
    let hidden = Rows(count: classes.count, width: 2)
    hidden.fill(from: classes.indices.flatMap { [Float($0), Float($0) + 0.5] })
    return DecoderRows(
      hidden: hidden, positions: classes.indices.map { Int32($0 + 10) }, classes: classes)
  }

  @Test func dropsVisualRowsAndKeepsOrderAndPositions() {
    var rows = rows([.system, .visual, .user, .visual, .visual, .generated])
    rows.withdraw(allBut: .text)
    #expect(rows.classes == [.system, .user, .generated])
    #expect(rows.positions == [10, 12, 15])
    #expect(rows.hidden.copy() == [0, 0.5, 2, 2.5, 5, 5.5])
  }

  @Test func changesNothingWithoutVisualRows() {
    var rows = rows([.system, .user])
    rows.withdraw(allBut: .text)
    #expect(rows.count == 2)
    #expect(rows.hidden.count == 2)
  }

  @Test func mayLeaveNothing() {
    var rows = rows([.visual, .visual])
    rows.withdraw(allBut: .text)
    #expect(rows.count == 0)
    #expect(rows.hidden.count == 0)
  }
}
