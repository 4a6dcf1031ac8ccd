import CSystem
import Synchronization

/// Reads parts of mapped files into memory before they are used, on a thread that gives way to
/// others.
///
/// First the system is told of all of them in order, so that a disk works while the processors
/// compute; what is in memory already costs about a millisecond per gigabyte.  Then their pages are
/// mapped one after the other, which spares their users the faults, until somebody who needs all
/// processors calls `stop`.
package final class ReadAhead: Sendable {
  package typealias Part = (region: ByteRegion, bytes: Range<Int>)

  /// What is read, piece by piece.
  package let pieces: [Part]
  private let isStopped = Atomic(false)

  // 8 MiB: what a disk reads in a few milliseconds, after which `stop` is heard.
  private static let pieceBytes = 8 << 20
  // 1 MiB: what lies between two matrices are vectors and padding, and one of them read alone would
  // wait behind all that was asked for before.
  private static let gapBytes = 1 << 20

  /// - Parameters:
  ///   - parts: in the order of their use.
  ///   - byteLimit: bytes after which reading ends.  Half of what there is leaves the rest of the
  ///     system alone, and pages read ahead are still there when they are used.
  package init(_ parts: [Part], byteLimit: Int = UsableMemory.byteCount() / 2) {
    var pieces: [Part] = []
    var left = byteLimit
    for (region, bytes) in Self.joined(parts) {
      var start = bytes.lowerBound
      while start < bytes.upperBound, left > 0 {
        let end = min(start + min(Self.pieceBytes, left), bytes.upperBound)
        pieces.append((region, start..<end))
        left -= end - start
        start = end
      }
    }
    self.pieces = pieces
  }

  /// `parts` with small gaps between neighbours filled.
  private static func joined(_ parts: [Part]) -> [Part] {
    var joined: [Part] = []
    for part in parts {
      if let last = joined.last, last.region === part.region,
        (0...gapBytes).contains(part.bytes.lowerBound - last.bytes.upperBound)
      {
        joined[joined.count - 1].bytes = last.bytes.lowerBound..<part.bytes.upperBound
      } else {
        joined.append(part)
      }
    }
    return joined
  }

  /// Begins.  Where the system refuses a thread, pages are read when they are used.
  package func start() {
    let retained = unsafe Unmanaged.passRetained(self)
    let code = unsafe vtw_start_background(
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<ReadAhead>.fromOpaque(context).takeRetainedValue().run()
      }, retained.toOpaque())
    if code != 0 { unsafe retained.release() }
  }

  /// Leaves the processors to others soon; what the system was told of is still read.
  package func stop() { isStopped.store(true, ordering: .relaxed) }

  /// The work of the thread.
  package func run() {
    for (region, bytes) in pieces { region.willNeed(bytes) }
    for (region, bytes) in pieces {
      if isStopped.load(ordering: .relaxed) { return }
      region.populate(bytes)
    }
  }
}
