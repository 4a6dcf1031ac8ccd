package import Architecture
package import TensorCore
package import VTWMFile

/// The evidence for a file's withdrawal layer as one HTML page that needs nothing else: no script, no
/// second file, no network.
///
/// The numbers are those of the file's calibration record; what a conversion measured beside it can
/// be given along.
package struct ReportPage {
  /// What the model is, for people.
  private let facts: [String]
  private let fileName: String
  /// The withdrawal layer of the default profile.
  let usedK: Int
  private let profiles: [ScheduleProfile]
  let record: CalibrationRecord
  let times: PrefillTimes?
  let samples: [ChangedSample]

  /// A page of plain values.
  ///
  /// - Parameters:
  ///   - usedK: the withdrawal layer of the default profile.
  ///   - samples: those whose answers change most at `comparedLayer`.
  package init(
    fileName: String, facts: [String], usedK: Int, profiles: [ScheduleProfile],
    record: CalibrationRecord, times: PrefillTimes? = nil, samples: [ChangedSample] = []
  ) {
    self.fileName = fileName
    self.facts = facts
    self.usedK = usedK
    self.profiles = profiles
    self.record = record
    self.times = times
    self.samples = samples
  }

  /// What `file` holds, with what was measured beside it.
  ///
  /// - Throws: `InputError` if the file was not calibrated.
  package init(
    _ file: VTWMFile, times: PrefillTimes? = nil, samples: [ChangedSample] = []
  ) throws(InputError) {
    guard let record = file.calibration else {
      throw InputError(
        file.path, "was not calibrated, so there is nothing to report; see vtwconvert --calib")
    }
    let schedule = file.schedule
    self.init(
      fileName: file.path.split(separator: "/").last.map(String.init) ?? file.path,
      facts: ModelFacts.list(file),
      usedK: schedule.profiles[schedule.defaultProfile].withdrawalLayer,
      profiles: schedule.profiles,
      record: CalibrationRecord(record, layerCount: schedule.layerCount), times: times,
      samples: samples)
  }

  /// The layer at which answers with and without withdrawal are set side by side: the one in use, or
  /// where nothing is withdrawn the last one that could be.
  package static func comparedLayer(_ usedK: Int, layerCount: Int) -> Int {
    min(usedK, max(layerCount - 1, 0))
  }

  /// How every report begins, and only a report: such a file may be written over.
  static let opening = "<!DOCTYPE html>\n<!-- vtwm calibration report -->\n"

  /// The page.
  package var text: String {
    let title = "Visual token withdrawal in \(printable(fileName))"
    let page = tag(
      "html", ["lang": "en"],
      tag(
        "head",
        tag("meta", ["charset": "utf-8"]),
        tag("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
        // Whatever else goes wrong, nothing is loaded or run.
        tag(
          "meta",
          [
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
          ]),
        tag("title", .text(title)), tag("style", .text(StyleSheet.text))),
      tag(
        "body",
        tag("header", tag("h1", .text(title)), summary, tiles, meaning, reasons),
        tag(
          "main", curves, heldOut, savings, schedules, thresholds, migration, packing,
          changedSamples, setup),
        tag("footer", tag("p", "Written by vtwm; formats/calibration.md defines every number."))))
    return Self.opening + page.text + "\n"
  }

  /// A section with its heading; nothing if it has no content.
  func section(_ title: String, _ content: [Markup]) -> Markup {
    content.isEmpty ? .nothing : tag("section", [:], [tag("h2", .text(title))] + content)
  }

  // MARK: What leads the page

  private var summary: Markup {
    tag("p", ["class": "lead"], .text(facts.joined(separator: " · ")))
  }

  private var tiles: Markup {
    let cost = record.costs.first { $0.k == usedK }
    var tiles = [
      (
        "K = \(usedK)",
        usedK == record.layerCount
          ? "of \(record.layerCount) layers: visual rows stay in all of them"
          : "of \(record.layerCount) layers: from there on visual rows are gone"
      )
    ]
    if let cost {
      tiles.append((percent(cost.operations, 0), "of the decoder's prefill FLOPs"))
      tiles.append((percent(cost.keyValue, 0), "of the rows of keys and values"))
    }
    if let times, !times.isDisturbed, usedK < record.layerCount,
      let measured = times.points.first(where: { $0.k == usedK }), let full = times.points.last
    {
      tiles.append(
        (
          percent(measured.least / full.least, 0),
          "of the full prefill's time, measured"
        ))
    }
    if let worst = record.worstTask(at: usedK) {
      tiles.append(
        (nats(worst.point.meanKL), "nats mean KL in the worst task, \(printable(worst.name))"))
    }
    if let point = record.pooled?.heldOutPoint(usedK) ?? record.pooled?.point(usedK) {
      let isHeldOut = record.pooled?.heldOutPoint(usedK) != nil
      tiles.append(
        (percent(point.agreement), "same top-1 token" + (isHeldOut ? ", on held-out samples" : "")))
    }
    return tag(
      "div", ["class": "tiles"],
      tiles.map { value, label in
        tag("div", ["class": "tile"], tag("b", .text(value)), tag("span", .text(label)))
      })
  }

  private var meaning: Markup {
    tag(
      "p",
      """
      The image's rows leave the decoder at layer K. Leaving earlier costs less; leaving too early \
      changes answers. This is the evidence for the K of this file.
      """)
  }

  private var reasons: Markup {
    var content = record.explanation.map { tag("li", .text($0)) }
    if let k = record.k, k != usedK {
      content.append(
        tag(
          "li",
          "The calibration found K = \(k); the default profile's K = \(usedK) was set by hand."))
    }
    return .group(
      [content.isEmpty ? .nothing : tag("ul", [:], content)]
        + record.warnings.map {
          tag("p", ["class": "warning"], tag("b", "Warning:"), " ", .text($0))
        })
  }

  // MARK: How it was measured

  private var setup: Markup {
    var items: [String] = []
    if let direction = record.direction {
      items.append("KL(\(direction)) in nats over the whole vocabulary, on the packed weights")
    }
    if let tokens = record.answerTokens {
      items.append("at most \(counted(tokens, "answer position")) per sample")
    }
    if let holdout = record.holdout {
      items.append("\(percent(holdout, 0)) of each task kept apart, seed \(record.seed ?? "-")")
    }
    let others = profiles.filter { $0.name != "default" }.map {
      "\(printable($0.name)) \($0.label)"
    }
    if !others.isEmpty { items.append("profiles: " + others.joined(separator: ", ")) }
    var content = [tag("ul", [:], items.map { tag("li", .text($0)) })]
    if !record.refused.isEmpty {
      content.append(
        tag(
          "details",
          tag("summary", "\(counted(record.refused.count, "sample")) left out"),
          tag("ul", [:], record.refused.prefix(Self.mostListed).map { tag("li", .text($0)) })))
    }
    content.append(allNumbers)
    return section("How this was measured", content)
  }

  private static let mostListed = 200
}
