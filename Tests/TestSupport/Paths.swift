/// The path of `name` in `Tests/Fixtures`, such as "models/gqa/config.json".
package func fixturePath(_ name: String) -> String { "\(testsFolder)/Fixtures/\(name)" }

/// The path of `name` in the repository, such as "tools/demo-llava/calib".
package func repositoryPath(_ name: String) -> String { "\(testsFolder)/../\(name)" }

/// `Tests`, found from where this file was compiled.
private let testsFolder = #filePath.split(separator: "/", omittingEmptySubsequences: false)
  .dropLast(2).joined(separator: "/")
