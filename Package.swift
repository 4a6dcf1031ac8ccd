// swift-tools-version: 6.2
import PackageDescription

// The pipeline reads top to bottom; a target may import only what `uses` names, and every
// arrow points up the page.  Folders group targets: Core is what all speak, C holds the shims,
// File is the contract, Run maps and generates, Measure says how well, Convert makes files.
//
// `uses` names the Swift targets behind the imported ones too, and `testsUse` those behind
// TestSupport: SwiftPM compiles a target again when a target that it names has changed, and the
// layout of a type reaches through all of them.

let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]

let argumentParser = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")

/// A library target in `Sources/<group>/<name>` with its tests in `Tests/<name>Tests`, which may
/// use targets further down.
func stage(
  _ name: String, in group: String, uses: [Target.Dependency] = [],
  testsUse: [Target.Dependency] = []
) -> [Target] {
  [
    .target(
      name: name, dependencies: uses, path: "Sources/\(group)/\(name)", swiftSettings: settings),
    .testTarget(
      name: "\(name)Tests", dependencies: [.byName(name: name), "TestSupport"] + uses + testsUse,
      path: "Tests/\(name)Tests", swiftSettings: settings),
  ]
}

/// A program in `Sources/Commands/<name>`.
func command(_ name: String, uses: [Target.Dependency]) -> [Target] {
  [
    .executableTarget(
      name: name, dependencies: uses + ["CommandSupport", argumentParser],
      path: "Sources/Commands/\(name)", swiftSettings: settings)
  ]
}

/// A module map over a system library.
func shim(_ name: String, apt: String, pkgConfig: String) -> [Target] {
  [
    .systemLibrary(
      name: name, path: "Sources/C/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
  ]
}

var targets: [Target] = []

// C
targets += shim("CZlib", apt: "zlib1g-dev", pkgConfig: "zlib")
targets += shim("COpenBLAS", apt: "libopenblas-dev", pkgConfig: "openblas")
targets += shim("CPNG", apt: "libpng-dev", pkgConfig: "libpng")
targets += shim("CWebP", apt: "libwebp-dev", pkgConfig: "libwebpdemux")
targets += [
  // libjpeg and libpng report errors by longjmp, which must not cross Swift frames.
  .systemLibrary(
    name: "CJPEGLibrary", path: "Sources/C/CJPEGLibrary", pkgConfig: "libjpeg",
    providers: [.apt(["libjpeg-dev"])]),
  .target(
    name: "CImages", dependencies: ["CJPEGLibrary", "CPNG", "CWebP"], path: "Sources/C/CImages"),
  .target(name: "CKernels", path: "Sources/C/CKernels"),
  .target(name: "CSystem", path: "Sources/C/CSystem"),
]

// Core
targets += stage("TensorCore", in: "Core", uses: ["CSystem"], testsUse: ["Architecture"])
targets += stage("Architecture", in: "Core", uses: ["TensorCore"])

// File
targets += stage(
  "VTWMFile", in: "File", uses: ["TensorCore", "Architecture", "CZlib", "CSystem", crypto])

// Run
targets += stage(
  "Kernels", in: "Run", uses: ["TensorCore", "CKernels", "COpenBLAS"], testsUse: ["Architecture"])
targets += stage("Prompting", in: "Run", uses: ["TensorCore", "Architecture", "CImages"])
targets += stage(
  "Inference", in: "Run", uses: ["TensorCore", "Architecture", "Kernels", "Prompting"],
  testsUse: ["CAllocations"])

// Measure
targets += stage("Statistics", in: "Measure", testsUse: ["TensorCore", "Architecture"])
targets += stage(
  "SampleSets", in: "Measure", uses: ["TensorCore", "Architecture", "Prompting"],
  testsUse: [crypto])
targets += stage(
  "Report", in: "Measure",
  uses: ["TensorCore", "Architecture", "VTWMFile", "Prompting", "CImages"])

targets += stage(
  "Evaluation", in: "Measure",
  uses: [
    "TensorCore", "Architecture", "Kernels", "Prompting", "Inference", "SampleSets", "Statistics",
  ])

// Convert
targets += stage(
  "Checkpoints", in: "Convert", uses: ["TensorCore", "Architecture"], testsUse: ["Prompting"])
targets += stage(
  "Packing", in: "Convert",
  uses: ["TensorCore", "Architecture", "Kernels", "VTWMFile", "Checkpoints"])
targets += stage(
  "Calibration", in: "Convert",
  uses: [
    "TensorCore", "Architecture", "Kernels", "Prompting", "Inference", "SampleSets", "Statistics",
  ])

// Commands
targets += [
  .target(
    name: "CommandSupport", dependencies: ["TensorCore", argumentParser],
    path: "Sources/Commands/CommandSupport", swiftSettings: settings),
  .target(
    name: "RuntimeSupport",
    dependencies: [
      "TensorCore", "Architecture", "VTWMFile", "Kernels", "Prompting", "Inference",
      argumentParser,
    ],
    path: "Sources/Commands/RuntimeSupport", swiftSettings: settings),
  .target(name: "CAllocations", path: "Tests/CAllocations"),
  .target(
    name: "TestSupport", dependencies: ["TensorCore", "Architecture"], path: "Tests/TestSupport",
    swiftSettings: settings),
  .testTarget(
    name: "CommandTests", dependencies: ["TestSupport", "TensorCore", "Architecture"],
    path: "Tests/CommandTests", swiftSettings: settings),
]
targets += command(
  "vtwconvert",
  uses: [
    "TensorCore", "Architecture", "Checkpoints", "Packing", "VTWMFile", "Kernels", "Prompting",
    "Inference", "SampleSets", "Statistics", "Calibration", "Report", "RuntimeSupport",
  ])
targets += command(
  "vtwrun",
  uses: [
    "TensorCore", "Architecture", "VTWMFile", "Kernels", "Prompting", "Inference",
    "RuntimeSupport",
  ])
targets += command(
  "vtwinfo", uses: ["TensorCore", "Architecture", "VTWMFile", "Prompting", "Report"])
targets += command(
  "vtwbench",
  uses: [
    "TensorCore", "Architecture", "VTWMFile", "Kernels", "Prompting", "Inference",
    "RuntimeSupport",
  ])
targets += command(
  "vtweval",
  uses: [
    "TensorCore", "Architecture", "VTWMFile", "Kernels", "Prompting", "Inference", "SampleSets",
    "Statistics", "Evaluation", "Calibration", "RuntimeSupport",
  ])

let package = Package(
  name: "vtwm",
  products: [
    .executable(name: "vtwconvert", targets: ["vtwconvert"]),
    .executable(name: "vtwrun", targets: ["vtwrun"]),
    .executable(name: "vtwinfo", targets: ["vtwinfo"]),
    .executable(name: "vtwbench", targets: ["vtwbench"]),
    .executable(name: "vtweval", targets: ["vtweval"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
  ],
  targets: targets
)
