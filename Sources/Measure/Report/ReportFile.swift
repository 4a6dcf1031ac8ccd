package import TensorCore

/// A report's place on the disk.
package enum ReportFile {
  /// Finds out before any work whether a report can be written at `path`.
  ///
  /// - Parameter others: files of this run that must survive.
  /// - Throws: `InputError` if it cannot, or if a file that is no report lies there.
  package static func check(_ path: String, others: [String]) throws(InputError) {
    try OutputFile.check(path, inputs: others)
    guard try OutputFile.exists(path, sparing: others) else { return }
    let file = try ByteRegion(mapping: path)
    let opening = Array(ReportPage.opening.utf8)
    guard file.byteCount >= opening.count, file.copy(0..<opening.count) == opening else {
      throw InputError(path, "exists and is no report of ours; remove it, or choose another name")
    }
  }

  /// Writes `page`, whole or not at all.
  package static func write(_ page: ReportPage, to path: String) throws(InputError) {
    try OutputFile.write([Array(page.text.utf8)], to: path)
  }
}
