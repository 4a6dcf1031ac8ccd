import Glibc
import TensorCore
import TestSupport

/// What a program did.
struct ProgramResult {
  var status: Int32
  /// The signal that ended it; 0 if it exited.
  var signal: Int32
  var output: String
  var errors: String
  /// The most memory that it took; no less than the most that this process had before.
  var peakBytes: Int

  /// The last line of the output as JSON.
  var json: JSONValue {
    get throws {
      let line = output.split(separator: "\n").last.map(String.init) ?? ""
      return try JSONValue(parsing: Array(line.utf8), file: "standard output")
    }
  }
}

/// Runs the built programs, which lie beside the test bundle.
enum Programs {
  private static let folder: String = {
    var path = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
    let bytes = path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/")
  }()

  /// Where the program `name` lies; a name with a slash is a path already.
  static func path(_ name: String) -> String { name.contains("/") ? name : "\(folder)/\(name)" }

  /// Runs `name` with `arguments` and waits for its end.
  ///
  /// - Parameters:
  ///   - input: its standard input.
  ///   - inputPath: what to open as its standard input instead.
  ///   - environment: variables to set beside the inherited ones.
  static func run(
    _ name: String, _ arguments: [String], input: String = "", inputPath: String? = nil,
    environment: [String: String] = [:]
  ) throws -> ProgramResult {
    let scratch = try TemporaryFolder()
    let inputPath = try inputPath ?? scratch.write(input, to: "in")
    let path = path(name)
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    unsafe posix_spawn_file_actions_addopen(&actions, 1, scratch.path("out"), flags, 0o600)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, scratch.path("err"), flags, 0o600)
    var variables = environment.map { "\($0.key)=\($0.value)" }
    var place = unsafe environ
    while let entry = unsafe place.pointee {
      unsafe variables.append(String(cString: entry))
      unsafe place += 1
    }
    var process: pid_t = 0
    let code = unsafe withCStrings([path] + arguments) { argv in
      unsafe withCStrings(variables) { envp in
        unsafe posix_spawn(&process, path, &actions, nil, argv, envp)
      }
    }
    guard code == 0 else { throw InputError(path, errorText(code)) }
    var status: Int32 = 0
    var usage = rusage()
    while unsafe wait4(process, &status, 0, &usage) < 0, errno == EINTR {}
    return ProgramResult(
      status: (status >> 8) & 0xFF, signal: status & 0x7F,
      output: String(
        decoding: try fileBytes(at: scratch.path("out"), limit: 1 << 28), as: UTF8.self),
      errors: String(
        decoding: try fileBytes(at: scratch.path("err"), limit: 1 << 28), as: UTF8.self),
      peakBytes: usage.ru_maxrss * 1024
    )
  }
}

/// Calls `body` with a null-terminated array of C strings.
func withCStrings<R>(
  _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
  var pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
  defer { unsafe pointers.forEach { unsafe free($0) } }
  return unsafe body(&pointers)
}
