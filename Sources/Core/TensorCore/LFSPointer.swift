extension ByteRegion {
  private static let pointerStart = Array("version https://git-lfs".utf8)

  /// - Throws: `InputError` if the file is what Git leaves in place of a large one that was not
  ///   fetched.
  package func refuseLFSPointer() throws(InputError) {
    let start = copy(0..<min(byteCount, Self.pointerStart.count))
    if start == Self.pointerStart {
      throw InputError(
        name, "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")
    }
  }
}
