import CKernels
import Glibc

/// The kinds of processor for which there are kernels, weakest first.
package enum InstructionSet: String, CaseIterable, Sendable {
  /// Plain C, for any processor.
  case generic
  /// AVX2, FMA and F16C.
  case avx2
  /// AVX-512 F, BW, DQ, VL and VNNI.
  case avx512
  /// The same with AVX-512 BF16.
  case avx512bf16
  /// ARMv8-A with its conversions of f16.
  case neon
  /// The same with dot products of bytes (FEAT_DotProd).
  case neondot

  var code: vtw_instruction_set {
    switch self {
    case .generic: VTW_GENERIC
    case .avx2: VTW_AVX2
    case .avx512: VTW_AVX512
    case .avx512bf16: VTW_AVX512BF16
    case .neon: VTW_NEON
    case .neondot: VTW_NEON_DOT
    }
  }

  /// Whether this processor runs it.
  package var isSupported: Bool { vtw_supports(code) != 0 }

  /// Those that this processor runs, weakest first; never empty.
  package static let supported: [InstructionSet] = allCases.filter(\.isSupported)

  /// The strongest that this processor runs.
  package static let best: InstructionSet = supported.last ?? .generic

  /// What the environment variable `VTW_ISA` names, if this processor runs it; else the best.
  package static var preferred: InstructionSet {
    guard let value = unsafe getenv("VTW_ISA"),
      let named = InstructionSet(rawValue: unsafe String(cString: value)), named.isSupported
    else { return best }
    return named
  }
}
