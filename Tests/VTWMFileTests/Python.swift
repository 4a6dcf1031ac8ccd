import Glibc
import TensorCore

/// Runs `python3`, whose scripts read and write the format on their own.
enum Python {
  /// The root of the repository.
  static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    .dropLast(3).joined(separator: "/")

  static let tool = root + "/tools/vtwm.py"
  static let maker = root + "/tools/make_vtwm_files.py"

  /// Whether there is a Python of 3.9 or later.
  static let isThere: Bool = {
    let result = try? run("-c", "import sys; sys.exit(sys.version_info < (3, 9))")
    return result?.status == 0
  }()

  /// The exit status, and what came to standard output and error together.
  static func run(_ arguments: String...) throws -> (status: Int32, output: String) {
    let folder = try TemporaryFolder()
    let outputPath = folder.file("output")
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var words = unsafe (["python3"] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var child: pid_t = 0
    let result = unsafe posix_spawnp(&child, "python3", &actions, nil, &words, environ)
    guard result == 0 else { throw InputError("python3", errorText(result)) }
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    let output = String(decoding: try readBytes(outputPath), as: UTF8.self)
    // The exit status lies in the second byte; a signal counts as 255.
    return (status & 0x7F == 0 ? status >> 8 & 0xFF : 255, output)
  }
}
