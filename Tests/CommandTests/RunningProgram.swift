import Glibc
import TensorCore

/// A program that runs beside the test, fed and read line by line; it ends with the value.
final class RunningProgram {
  let process: pid_t
  private let input: Int32
  private let output: Int32

  /// Starts `name`, which lies beside the test bundle, with `arguments`.
  init(_ name: String, _ arguments: [String]) throws {
    var toProgram: [Int32] = [0, 0], fromProgram: [Int32] = [0, 0]
    guard unsafe pipe(&toProgram) == 0, unsafe pipe(&fromProgram) == 0 else {
      throw InputError(name, errorText(errno))
    }
    for descriptor in toProgram + fromProgram { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, toProgram[0], 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, fromProgram[1], 1)
    var started: pid_t = 0
    let path = Programs.path(name)
    let code = unsafe withCStrings([path] + arguments) { argv in
      unsafe posix_spawn(&started, path, &actions, nil, argv, environ)
    }
    close(toProgram[0])
    close(fromProgram[1])
    guard code == 0 else { throw InputError(path, errorText(code)) }
    process = started
    input = toProgram[1]
    output = fromProgram[0]
  }

  deinit {
    close(input)
    close(output)
    kill(process, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
  }

  func write(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe Glibc.write(input, bytes, bytes.count)
  }

  /// The next line of its output, without the break; nil at the end.
  func readLine() -> String? {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while unsafe read(output, &byte, 1) == 1 {
      if byte == 0x0A { return String(decoding: line, as: UTF8.self) }
      line.append(byte)
    }
    return nil
  }

  /// What /proc/PID/task/TID/status says of `field`, for the program's first thread and the workers
  /// of its pool.
  func threads(_ field: String) throws -> [String] {
    let tasks = "/proc/\(process)/task"
    return try folderEntries(at: tasks).compactMap { task in
      func value(_ field: String) -> String? {
        let line = systemLines("\(tasks)/\(task)/status").first { $0.hasPrefix(field + ":\t") }
        return line.map { String($0.dropFirst(field.count + 2)) }
      }
      return task == "\(process)" || value("Name") == "vtwm worker" ? value(field) : nil
    }
  }
}
