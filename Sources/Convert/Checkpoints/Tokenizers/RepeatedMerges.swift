import Architecture

extension [TokenizerModel.Merge] {
  /// The same without repeated pairs, of which the last place counts, as in the tokenizers library.
  var lastOfEachPair: [TokenizerModel.Merge] {
    // Ids of a vocabulary have far fewer bits than half an `Int`.
    var seen = Set<Int>(minimumCapacity: count)
    let kept = reversed().filter { seen.insert($0.left << 32 | $0.right).inserted }
    return kept.count == count ? self : kept.reversed()
  }
}
