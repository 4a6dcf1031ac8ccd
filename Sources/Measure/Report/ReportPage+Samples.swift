import TensorCore

/// The samples whose answers change most.
extension ReportPage {
  // Longer questions are cut; the set has them whole.
  private static let longestText = 2000

  var changedSamples: Markup {
    guard !samples.isEmpty else { return .nothing }
    let k = Self.comparedLayer(usedK, layerCount: record.layerCount)
    var intro =
      "By mean KL over their answer positions at K = \(k), of all samples, kept apart or not."
    if usedK == record.layerCount {
      intro += " The file never withdraws; this is what its last possible layer would do."
    }
    if samples.contains(where: { $0.answers != nil }) {
      intro += " Answers are greedy; what differs is underlined."
    } else {
      intro += " Their pictures and answers were not at hand."
    }
    return section(
      "The \(samples.count == 1 ? "sample" : "\(samples.count) samples") that withdrawal changes most",
      [
        tag("p", .text(intro)),
        tag("div", ["class": "samples"], samples.map { article($0, k: k) }),
      ])
  }

  private func article(_ sample: ChangedSample, k: Int) -> Markup {
    let measured =
      "Mean KL \(nats(sample.meanKL)), greatest \(nats(sample.maxKL)) nats; same top-1 token at "
      + "\(sample.agreeing) of \(counted(sample.positions, "position"))."
    var telling = [
      tag("h3", .text(printable(sample.id, limit: 200))),
      tag(
        "p", ["class": "soft"],
        .text(
          "\(printable(sample.task))\(sample.isHeldOut ? ", kept apart" : ""). \(measured)")),
    ]
    guard let answers = sample.answers else {
      if let problem = sample.problem {
        telling.append(tag("p", .text("It could not be run again: \(problem).")))
      }
      return tag("article", tag("div", ["class": "telling"], telling))
    }
    var items = [("Question", said(answers.question))]
    if let expected = answers.expected { items.append(("The set's answer", said(expected))) }
    let common = commonStart(answers.full, answers.withdrawn)
    if answers.full == answers.withdrawn {
      items.append(("With and without withdrawal at K = \(k)", said(answers.full)))
    } else {
      items.append(("Without withdrawal", said(answers.full, from: common)))
      items.append(("With withdrawal at K = \(k)", said(answers.withdrawn, from: common)))
    }
    telling.append(
      tag(
        "dl", [:],
        items.flatMap { label, text in
          [tag("dt", .text(label)), tag("dd", ["dir": "auto"], text)]
        }))
    let pictures = answers.thumbnails.map { thumbnail in
      tag(
        "img",
        [
          "src": thumbnail.address, "alt": "the sample's picture",
          "width": String(thumbnail.width), "height": String(thumbnail.height),
          "class": max(thumbnail.width, thumbnail.height) <= 64 ? "small" : "photo",
        ])
    }
    return tag(
      "article", tag("div", ["class": "pictures"], pictures),
      tag("div", ["class": "telling"], telling))
  }

  /// How many characters both texts begin with.
  private func commonStart(_ a: String, _ b: String) -> Int {
    zip(a, b).prefix { $0 == $1 }.count
  }

  /// `text`, cut if it is long, with what stands behind `common` characters marked.
  private func said(_ text: String, from common: Int = .max) -> Markup {
    guard !text.isEmpty else { return tag("span", ["class": "soft"], "(nothing)") }
    let shown = text.count > Self.longestText ? text.prefix(Self.longestText) + "…" : text[...]
    let rest = shown.dropFirst(common)
    return .group([
      .text(String(shown.prefix(common))),
      rest.isEmpty ? .nothing : tag("mark", .text(String(rest))),
    ])
  }
}
