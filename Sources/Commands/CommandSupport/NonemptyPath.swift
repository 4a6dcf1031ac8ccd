import ArgumentParser

/// The value of an option that names a file or folder, which an empty one does not; for `transform`.
package func nonemptyPath(_ text: String) throws -> String {
  guard !text.isEmpty else { throw ValidationError("a path is expected.") }
  return text
}
