import TensorCore

/// The numbers of `formats/vtwm.md`: magic, versions, record sizes and alignment.
enum VTWMLayout {
  /// As in PNG: a byte above 127 and both kinds of line end show a damaging transfer at once.
  static let magic: [UInt8] = [0x89, 0x56, 0x54, 0x57, 0x0D, 0x0A, 0x1A, 0x0A]
  static let major: UInt16 = 1
  static let minor: UInt16 = 0

  static let headerSize = 128
  static let headerCRCOffset = 124
  static let sectionEntrySize = 80
  static let tensorDirectoryHeaderSize = 32
  static let tensorEntrySize = 64
  static let layerTableHeaderSize = 16
  static let layerEntrySize = 32
  static let planHeaderSize = 64
  static let tokenizerHeaderSize = 64
  static let classNameSize = 24

  enum PlanRecordSize {
    static let tokenClass = 32
    static let keyValueClass = 32
    static let variant = 32
    static let segment = 16
    static let candidate = 24
  }

  /// Weight sections start on a page, so that advice to the kernel works per group.
  static let pageSize = 4096
  /// 64: a cache line, and the widest vector load.
  static let tensorAlignment = 64
  /// Sections of metadata start on a multiple of 8.
  static let metadataAlignment: UInt8 = 3

  /// Stands for "no such id".
  static let noID: UInt32 = 0xFFFF_FFFF

  /// Features that a reader must know to use the file, and those that it may ignore.
  enum Need {
    static let frozenRows: UInt64 = 1 << 0
    static let known = frozenRows
  }

  /// Text rows of the prompt for which the file states cost ratios.
  static let referenceTextRows = 64
}

/// What a reader refuses to exceed, checked before anything is allocated.
enum VTWMLimits {
  /// By how much a ratio of costs may differ from the true one.
  static let ratioTolerance = 1e-4
  static let fileSize = 1 << 42
  static let sections = 4096
  static let sectionSize = 64 << 20
  /// Deflate cannot do better than this.
  static let compressionRatio = 1032
  static let compressionSlack = 64
  static let entrySize = 4096
  static let alignments: ClosedRange<UInt8> = 3...21
  static let pages = 4096...(2 << 20)

  static let tensors = 65_536
  static let dimension = 1 << 24
  static let nameSize = 255

  static let layers = 1024
  static let heads = 1024
  static let headDimension = 1024
  static let vocabulary = 1 << 21
  static let context = 1 << 20
  static let imageSide = 16_384
  static let endOfTextIDs = 64
  static let featureLayers = 64
  static let textSize = 1 << 20

  static let pieceSize = 1024
  static let tokenizerTests = 1024

  static let variants = 256
  static let segments = 1024
  static let candidates = 4096
  static let keyValueClasses = 255
  static let capacity = 1 << 24

  static let json = JSONLimits(
    byteCount: 16 << 20, depth: 32, valueCount: 200_000, stringByteCount: textSize)
}

extension FixedWidthInteger {
  /// `value`, or the largest number there is if it does not fit: never one that a reader would take
  /// for a legal one.
  init(orMax value: Int) { self = Self(exactly: value) ?? .max }
}
