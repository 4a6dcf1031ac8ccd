import Glibc
package import TensorCore

/// Whole pages inside `range` of `region` that this process has in memory of its own or mapped.
///
/// - Throws: `InputError` where the system does not tell.
package func residentPages(_ region: ByteRegion, _ range: Range<Int>) throws -> Int {
  let page = sysconf(Int32(_SC_PAGESIZE))
  let start = unsafe Int(bitPattern: region.address(at: range.lowerBound))
  let first = (start + page - 1) / page
  let last = max(first, (start + range.count) / page)
  let path = "/proc/self/pagemap"
  let descriptor = unsafe open(path, O_RDONLY)
  guard descriptor >= 0 else { throw InputError(path, errorText(errno)) }
  defer { close(descriptor) }
  var entries = [UInt64](repeating: 0, count: last - first)
  let size = 8 * entries.count
  let count = unsafe entries.withUnsafeMutableBytes {
    unsafe pread(descriptor, $0.baseAddress, size, off_t(8 * first))
  }
  guard count == size else { throw InputError(path, "ends after \(count) of \(size) bytes") }
  // Bit 63: the page is present.
  return entries.count { $0 >> 63 == 1 }
}
