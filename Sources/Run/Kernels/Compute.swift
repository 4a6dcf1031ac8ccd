import CKernels
import COpenBLAS
import Glibc

/// Runs kernels: owns the thread pool and the memory that products need.
///
/// Calls come from one thread at a time, and never from inside a body of `parallel`.  Results do
/// not depend on the number of threads.
@safe package final class Compute: Sendable {
  package let instructionSet: InstructionSet
  /// Threads that share the work, the caller among them.
  package let threads: Int

  nonisolated(unsafe) let kernels: OpaquePointer
  private nonisolated(unsafe) let pool: OpaquePointer
  let scratch = Scratch()

  /// - Parameters:
  ///   - threads: 1...64; nil for the physical cores that the process may use.
  ///   - isPinned: each thread keeps to a core, the calling one too.
  ///   - instructionSet: must be supported here; nil for what `VTW_ISA` names, or the best.
  package init(
    threads: Int? = nil, isPinned: Bool = false, instructionSet: InstructionSet? = nil
  ) {
    let set = instructionSet ?? .preferred
    precondition(set.isSupported, "this processor does not run \(set.rawValue)")
    self.instructionSet = set
    let processors = Processors()
    let count = min(max(threads ?? processors.threadCount, 1), 64)
    self.threads = count
    unsafe kernels = vtw_kernels_for(set.code)
    let cores = (0..<count).map { UInt32(processors.cores[$0 % processors.cores.count]) }
    let created = unsafe cores.withUnsafeBufferPointer { cores in
      unsafe vtw_pool_create(count, isPinned ? cores.baseAddress : nil)
    }
    guard let created = unsafe created else {
      preconditionFailure("out of memory for the thread pool")
    }
    unsafe pool = created
    // The pool is the only source of parallelism; each call works on its own part.
    openblas_set_num_threads(1)
  }

  deinit { unsafe vtw_pool_destroy(pool) }

  /// Calls `body` once for each index in `0..<count`, on all threads; returns when all have.
  ///
  /// `body` runs concurrently with itself, so it must touch only what belongs to its index.
  package func parallel(_ count: Int, _ body: (Int) -> Void) {
    guard count > 1, threads > 1 else {
      for index in 0..<max(count, 0) { body(index) }
      return
    }
    withoutActuallyEscaping(body) { escapable in
      var box = escapable
      unsafe withUnsafeMutablePointer(to: &box) { context in
        unsafe vtw_pool_run(
          pool, count,
          { context, index in
            unsafe context?.assumingMemoryBound(to: ((Int) -> Void).self).pointee(index)
          }, context)
      }
    }
  }

  /// Splits `0..<count` rows into about equal ranges of at least `grain` rows each.
  func parallelRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let parts = max(1, min(count / max(grain, 1), threads * 4))
    parallel(parts) { part in body(count * part / parts..<count * (part + 1) / parts) }
  }
}

/// Memory that a `Compute` keeps between calls; used by the one thread that calls it.
final class Scratch: @unchecked Sendable {
  private var product = AlignedFloats(count: 0)
  private var productBytes = 0
  private var parts = AlignedFloats(count: 0)
  private var partCount = 0
  private var rotations: [(positions: [Int32], frequencies: [Float], rotation: Rotation)] = []

  /// Packed activations or sums of a product: at least `byteCount` bytes, 64-byte aligned, valid
  /// until the next call.
  @unsafe func productBuffer(_ byteCount: Int) -> UnsafeMutableRawPointer {
    if byteCount > productBytes {
      productBytes = byteCount + byteCount / 4
      product = AlignedFloats(count: productBytes / 4 + 1)
    }
    return unsafe UnsafeMutableRawPointer(product.base)
  }

  /// At least `count` floats, 64-byte aligned, valid until the next call.
  @unsafe func attentionParts(_ count: Int) -> UnsafeMutablePointer<Float> {
    if count > partCount {
      partCount = count + count / 4
      parts = AlignedFloats(count: partCount)
    }
    return unsafe parts.base
  }

  /// The rotation for these positions and frequencies, made by `make` unless it was used of late.
  func rotation(positions: [Int32], frequencies: [Float], make: () -> Rotation) -> Rotation {
    for known in rotations where known.positions == positions && known.frequencies == frequencies {
      return known.rotation
    }
    // 4: updated and frozen rows of two segments of a schedule.
    if rotations.count == 4 { rotations.removeFirst() }
    let rotation = make()
    rotations.append((positions, frequencies, rotation))
    return rotation
  }
}
