import Glibc
package import SampleSets
package import TensorCore

/// A file of results that grows by a line per question, so that a run can stop at any moment and go
/// on later: `formats/evaluation.md`.
@safe package final class ResultsFile {
  /// One question done.
  package enum Record: Equatable, Sendable {
    case result(QuestionResult)
    case refused(RefusedSample)

    package var id: String {
      switch self {
      case .result(let result): result.id
      case .refused(let sample): sample.id
      }
    }

    fileprivate var json: JSONValue {
      switch self {
      case .result(let result): result.json
      case .refused(let sample):
        ["id": .string(sample.id), "refused": .string(sample.reason)]
      }
    }
  }

  private let path: String
  private let descriptor: Int32
  /// What the file held already, in its order.
  package let earlier: [Record]

  // A question's line has an answer per schedule; far more than any set needs.
  private static let limit = 1 << 31
  private static let limits = JSONLimits(
    byteCount: 1 << 26, depth: 8, valueCount: 1_000_000, stringByteCount: 1 << 24)

  /// Begins the file at `path`, or goes on with the one that is there.
  ///
  /// A last line without its end, as a kill may leave it, is cut off.
  ///
  /// - Parameters:
  ///   - resumes: whether a file that is there may be gone on with.
  ///   - samples: the questions of the setup's set.
  ///   - inputs: files that must survive.
  /// - Throws: `InputError` if the file is not ours, damaged, of another setup, in use, or cannot be
  ///   written.
  package init(
    _ path: String, setup: EvaluationSetup, samples: [Sample], resumes: Bool, inputs: [String]
  ) throws(InputError) {
    try OutputFile.check(path, inputs: inputs)
    let isNew = PathKind(of: path) == .missing || PathKind(of: path) == .file(byteCount: 0)
    guard isNew || resumes else {
      throw InputError(
        path, "holds the results of an earlier run; go on from there with --resume, or remove it")
    }
    self.path = path
    // Opened to append: what is there stays as it is until it is known to be ours.
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw InputError.unwritable(path, errno)
    }
    var earlier: [Record] = []
    var isBegun = false
    do throws(InputError) {
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        throw InputError(path, "is being written by another run")
      }
      if !isNew {
        let bytes = try fileBytes(at: path, limit: Self.limit)
        let whole = bytes.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        // Of a first line that was cut, no more can be said than that it begins as ours.
        isBegun = whole > 0 || !Self.line(setup.json).starts(with: bytes)
        if isBegun {
          earlier = try Self.records(bytes[..<whole], path, setup: setup, samples: samples)
        }
        if whole < bytes.count, ftruncate(descriptor, off_t(whole)) != 0 {
          throw InputError.unwritable(path, errno)
        }
      }
    } catch {
      close(descriptor)
      throw error
    }
    self.earlier = earlier
    if !isBegun { try append(setup.json) }
  }

  deinit { close(descriptor) }

  package func append(_ record: Record) throws(InputError) { try append(record.json) }

  private static func line(_ value: JSONValue) -> [UInt8] { Array((value.text + "\n").utf8) }

  /// Writes a line in one go.
  private func append(_ line: JSONValue) throws(InputError) {
    var bytes = Self.line(line)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        throw InputError.unwritable(path, errno)
      }
      bytes = bytes.dropFirst(count)
    }
  }

  /// The records of whole lines, checked to be of this setup.
  private static func records(
    _ bytes: ArraySlice<UInt8>, _ path: String, setup: EvaluationSetup, samples: [Sample]
  ) throws(InputError) -> [Record] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    _ = lines.popLast()
    let header = lines.first.flatMap { try? JSONValue(parsing: Array($0), limits: limits) }
    guard let header, header["format"]?.stringValue == EvaluationSetup.format else {
      throw InputError(path, "is not a results file of vtweval")
    }
    guard header["version"]?.integerValue == EvaluationSetup.version else {
      throw InputError(path, "has another version; this build reads \(EvaluationSetup.version)")
    }
    if let difference = setup.mismatch(header) {
      throw InputError(path, "is of \(difference); choose another file, or remove it")
    }
    let byID = Dictionary(samples.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    var records: [Record] = []
    var seen: Set<String> = []
    for (index, line) in lines.enumerated().dropFirst() {
      func damaged(_ problem: String) -> InputError {
        InputError(path, "line \(index + 1) \(problem)")
      }
      let value: JSONValue
      do {
        value = try JSONValue(parsing: Array(line), limits: limits)
      } catch {
        throw damaged("is not valid JSON at byte \(error.offset): \(error.problem)")
      }
      guard let id = value["id"]?.stringValue, let sample = byID[id] else {
        throw damaged("is of no question of the set")
      }
      guard seen.insert(id).inserted else {
        throw damaged("is of a question that an earlier line has")
      }
      if let reason = value["refused"]?.stringValue {
        records.append(.refused(RefusedSample(id: id, reason: reason)))
      } else if let result = QuestionResult(
        value, of: sample, runCount: setup.plan.schedules.count)
      {
        records.append(.result(result))
      } else {
        throw damaged("does not hold a result of \(setup.plan.schedules.count) schedules")
      }
    }
    return records
  }
}
