import Architecture
import ArgumentParser
import CommandSupport
import Prompting
import Report
import TensorCore
import VTWMFile

@main
struct Entry {
  static func main() { Program.run(VTWInfo.self) }
}

struct VTWInfo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtwinfo",
    abstract: "Show what is inside a .vtwm file.",
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"), transform: nonemptyPath)
  var file: String

  @Flag(help: "Print everything as one JSON object.")
  var json = false

  @Flag(help: "List the tensors.")
  var tensors = false

  @Flag(help: "Show which rows each layer sees.")
  var plan = false

  @Flag(help: "Show the calibration: curves, thresholds, and why this K.")
  var calibration = false

  @Option(
    help: ArgumentHelp("Show the calibration as a page for a browser.", valueName: "file.html"),
    transform: nonemptyPath)
  var report: String?

  @Flag(help: "Check every byte: checksums, values, and the tokenizer against its test vectors.")
  var verify = false

  mutating func run() throws {
    let model = try VTWMFile(opening: file)
    if let report {
      let page = try ReportPage(model)
      try ReportFile.check(report, others: [file])
      try ReportFile.write(page, to: report)
      StandardError.write("wrote \(printable(report))\n")
    }
    if verify {
      let progress = ProgressLine("verifying", isQuiet: false)
      try model.verify { progress.update($0) }
      progress.finish()
      try verifyTokenizer(model)
    }
    if json {
      StandardOutput.write(InfoJSON.value(model, isVerified: verify).text + "\n")
      return
    }
    let pages = [
      (plan, InfoPages.plan), (calibration, CalibrationPage.text), (tensors, InfoPages.tensors),
    ].filter(\.0)
    if pages.isEmpty, report == nil { StandardOutput.write(InfoPages.overview(model)) }
    for (_, page) in pages { StandardOutput.write(page(model)) }
    if verify { StandardOutput.write("verified: every checksum and the tokenizer's tests agree\n") }
  }

  /// Runs the texts that the file carries through its tokenizer.
  private func verifyTokenizer(_ model: VTWMFile) throws(InputError) {
    let tokenizer = try Tokenizer(model.tokenizer)
    for test in model.tokenizer.tests {
      let found = tokenizer.encode(test.text).map(Int.init)
      guard found == test.ids else {
        throw InputError(
          file,
          "the tokenizer gives \(found.prefix(12)) for '\(printable(test.text, limit: 40))'; "
            + "the file says \(test.ids.prefix(12))")
      }
    }
  }
}
