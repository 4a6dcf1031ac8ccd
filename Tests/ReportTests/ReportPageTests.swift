import Prompting
import Report
import TensorCore
import TestSupport
import Testing

@Suite struct ReportPageTests {
  private func parsed(_ page: String) throws -> WellFormedPage { try WellFormedPage(page) }

  /// Rows of tables, cell by cell.
  private func rows(_ page: WellFormedPage) -> [[String]] {
    var rows: [[String]] = []
    var cells: [String] = []
    for element in page.elements {
      switch element.name {
      case "td": cells.append(element.text)
      case "tr":
        rows.append(cells)
        cells = []
      default: break
      }
    }
    return rows
  }

  @Test func standsAlone() throws {
    let image = RGBImage(width: 2, height: 1, pixels: [255, 0, 0, 0, 0, 255])
    let text = SamplePages.page(
      times: SamplePages.times, samples: [SamplePages.sample(thumbnails: [try Thumbnail(image)])])
    let page = try parsed(text)
    let names = Set(page.elements.map(\.name))
    #expect(names.isDisjoint(with: ["script", "link", "iframe", "object", "a", "base", "form"]))
    #expect(names.isSuperset(of: ["html", "svg", "table", "img", "style"]))
    for element in page.elements {
      for (key, value) in element.attributes {
        #expect(!key.hasPrefix("on"), "\(key)")
        if key == "src" { #expect(value.hasPrefix("data:image/jpeg;base64,"), "\(value)") }
        if key != "xmlns" { #expect(!value.contains("://"), "\(key)=\(value)") }
      }
    }
    // A browser takes a style sheet as it stands, without the entities of XML.
    let style = try #require(page.texts("style").first)
    #expect(text.contains(style) && !style.contains("url(") && !style.contains("@import"))
    #expect(page.texts("h2").count == 8, "\(page.texts("h2"))")
  }

  @Test func sameValuesGiveTheSameBytes() {
    let pages = (0..<2).map { _ in
      SamplePages.page(times: SamplePages.times, samples: [SamplePages.sample()])
    }
    #expect(pages[0] == pages[1])
  }

  @Test func hostileTextsStayTexts() throws {
    let attack = "\"></dd></style><script>alert('1')</script><!-- & &lt; ]]> \u{0}\u{1B}[2J\u{FFFE}"
    let shown = String(
      String.UnicodeScalarView(
        attack.unicodeScalars.map { $0.value < 32 || $0.value == 0xFFFE ? "\u{FFFD}" : $0 }))
    func page(_ text: String, answer: String) throws -> WellFormedPage {
      try parsed(
        SamplePages.page(
          SamplePages.record(tasks: [text, "b"], warnings: [text], refused: [text]),
          fileName: text,
          samples: [
            SamplePages.sample(
              id: text, question: text, expected: text, full: answer, withdrawn: text)
          ]))
    }
    let attacked = try page(attack, answer: "x")
    let plain = try page("plain", answer: "x")
    #expect(attacked.elements.map(\.name) == plain.elements.map(\.name))
    #expect(attacked.texts("dd").prefix(2) == [shown, shown])
    #expect(attacked.texts("dd").last == shown)
    #expect(attacked.texts("p").contains { $0.contains(shown) })
    // Names are made printable, as everywhere.
    let name = try #require(attacked.texts("h3").first { $0.contains("alert") })
    #expect(name.contains("\\u{1b}[2J"), "\(name)")
  }

  @Test func numbersAreThoseOfTheRecord() throws {
    let page = try parsed(SamplePages.page(times: SamplePages.times))
    let found = rows(page)
    func expect(_ row: [String]) { #expect(found.contains(row), "\(row)") }
    // Thresholds that lead to the same layer share a row.
    expect([
      "0.001 … 0.002", "4", "70 %", "72 %", "1.23 MB", "0.00071", "99.5 %", "0.00042", "99.1 %",
    ])
    expect(["0.1", "2", "40 %", "-", "-", "-", "-", "-", "-"])
    // Held-out samples of a task at K = 4, with their intervals below the value.
    expect([
      "relation", "4", "9", "0.000200.00010 … 0.00040", "100.0 %5.0 … 100.0", "3",
      "0.000100.00005 … 0.00020", "100.0 %5.0 … 100.0", "holds",
    ])
    // The least of several rounds, and below it their median.
    expect(["4", "60.0 ms80.0 ms", "60 %", "70 %"])
    expect(["6 (never)", "100.0 ms110.0 ms", "100 %", "100 %"])
    // Attention of layer 1 in percent, and the change; what is measured of packing.
    expect(["1", "5.5", "26.0", "16.5", "2.0", "0.4500"])
    expect(["4 = K", "10.4", "10.4"])
    expect([
      "relation", "0.000200.00010 … 0.00040", "0.00123", "0.16 ×", "100.0 %", "99.0 %",
    ])
    let tiles = page.elements.filter { $0.attributes["class"] == "tile" }.map(\.text)
    #expect(tiles.contains { $0.hasPrefix("K = 4") })
    #expect(!tiles.contains { $0.contains("measured") }, "\(tiles)")
    #expect(page.texts("figcaption").contains { $0.contains("as on a busy machine") })
    #expect(page.texts("li").contains { $0.contains("relation decided: at K = 3") })
  }

  @Test func quietTimesLeadThePage() throws {
    var times = SamplePages.times
    for place in times.points.indices { times.points[place].seconds = [0.1 * Double(place + 1)] }
    let page = try parsed(SamplePages.page(times: times))
    let tiles = page.elements.filter { $0.attributes["class"] == "tile" }.map(\.text)
    #expect(tiles.contains { $0.hasPrefix("67 %") && $0.contains("measured") }, "\(tiles)")
    #expect(!page.texts("figcaption").contains { $0.contains("busy") })
  }

  /// Each point of a curve lies where its value says; the record's curves fall by ten per layer.
  @Test func curvesAreDrawnInPowersOfTen() throws {
    let page = try parsed(SamplePages.page(SamplePages.record(tasks: ["a"]), usedK: 6))
    let marks = page.elements.filter { $0.name == "path" && $0.text.hasPrefix("a, K = ") }
    let places = marks.filter { $0.text.contains("nats") }.compactMap { mark in
      mark.attributes["d"].flatMap { path -> [Double]? in
        let numbers = path.dropFirst().prefix { !$0.isLetter }.split(separator: " ")
        return numbers.count == 2 ? numbers.compactMap { Double($0) } : nil
      }
    }
    try #require(places.count == 6, "\(marks)")
    let steps = zip(places.dropFirst(), places).map { [$0[0] - $1[0], $0[1] - $1[1]] }
    for step in steps {
      #expect(abs(step[0] - steps[0][0]) <= 0.2 && abs(step[1] - steps[0][1]) <= 0.2)
      #expect(step[0] > 0 && step[1] > 10, "\(step)")
    }
  }

  // MARK: Schedules beyond withdrawal

  private func numbers(_ path: Substring) -> [Double] {
    path.split { !$0.isNumber && $0 != "." && $0 != "-" }.compactMap { Double($0) }
  }

  /// Where `x` and `y` of an element are.
  private func place(_ attributes: [String: String], _ x: String, _ y: String) -> [Double] {
    [x, y].compactMap { attributes[$0].flatMap { Double($0) } }
  }

  @Test func theFrontIsDrawnWhereItsNumbersSay() throws {
    let page = try parsed(SamplePages.page(SamplePages.searched()))
    #expect(page.texts("h2").contains("Schedules beyond withdrawal"))
    // Each of both charts has one point of K = 2: at 60 % of the FLOPs, and 0.01 nats or 98.5 %.
    let marks = page.elements.filter {
      $0.name == "path" && $0.text.hasPrefix("K = 2: 60.0 % of the FLOPs, worst mean KL 0.01000")
    }
    let starts = marks.map {
      Array(numbers($0.attributes["d"]?.prefix { $0 != "m" } ?? "").prefix(2))
    }
    try #require(starts.count == 2 && starts.allSatisfy { $0.count == 2 }, "\(marks)")
    // 52 pixels are 0 %, 348 are 100 %; six decades from 1 to 1e-6 lie between 30 and 204.
    #expect(starts.allSatisfy { abs($0[0] - (52 + 0.6 * 296)) < 0.11 })
    #expect(abs(starts[0][1] - (30 + 2 * 174.0 / 6)) < 0.11, "\(starts)")
    // Shares from 75 % on, and less at the foot.
    #expect(abs(starts[1][1] - (204 - (0.985 - 0.75) / 0.25 * 174)) < 0.11, "\(starts)")
    #expect(page.texts("text").contains("≤ 75 %"))
    // The front goes in steps: over every point that loses less than any cheaper one.
    let fronts = page.elements.filter {
      $0.attributes["class"] == "front" && $0.attributes["d"] != "M1 4H18V10H35"
    }
    try #require(fronts.count == 2)
    let steps = fronts[0].attributes["d"] ?? ""
    #expect(steps.filter { $0 == "V" }.count == 5, "\(steps)")
    // Rings around what is used, beside their names, in both charts.
    let rings = page.elements.filter { $0.name == "circle" && $0.attributes["r"] == "6.5" }
    #expect(rings.count == 4)
    #expect(abs(place(rings[1].attributes, "cx", "cy")[0] - (52 + 0.55 * 296)) < 0.11)
    #expect(page.texts("text").filter { $0 == "auto" }.count == 2)
    #expect(page.texts("text").contains("auto: 55 % of the FLOPs, 50 % of the KV rows"))
    let found = rows(page)
    #expect(
      found.contains([
        "█▒▒▒▒▒", "55.0 %", "50.0 %", "2.35 MB", "0.00000", "relation", "98.5 %", "0.00000",
        "97.0 %",
      ]), "\(found)")
    #expect(found.contains(["relation", "0.00321", "99.1 %", "0.00432", "98.7 %"]))
    #expect(page.texts("figcaption").contains { $0.contains("35 % of the FLOPs") })
    #expect(found.contains(["auto-colors", "▒▒····", "25 %", "50 %", "0.00012", "99.3 %"]))
  }

  @Test func withoutASearchThereIsNoFront() throws {
    let page = try parsed(SamplePages.page())
    #expect(!page.texts("h2").contains("Schedules beyond withdrawal"))
    #expect(!page.elements.contains { $0.attributes["class"] == "front" })
  }

  /// A bar for each layer: as high as what it does with visual rows.
  @Test func layersAreBars() throws {
    let page = try parsed(
      SamplePages.page(SamplePages.searched(freezing: [(2, 4, 0.45)], chosen: (2, 4, 0.45))))
    let bars = page.elements.filter {
      $0.name == "path" && $0.attributes["class"] == "rows"
    }.compactMap { $0.attributes["d"] }
    // The default profile's, the chosen one's, and three of the legend.
    try #require(bars.count == 5)
    let heights = bars[1].split(separator: "z").map { numbers($0) }.map { $0[1] - $0[2] }
    #expect(heights == [18, 18, 6, 6, 1, 1])
    let lefts = bars[1].split(separator: "z").map { numbers($0)[0] }
    #expect(lefts == lefts.sorted() && lefts[0] == 4)
  }

  /// Names of points that lie close do not cover each other, and a point that is both has both.
  @Test(arguments: [0.79, 0.8, 0.81])
  func namesStandApart(share: Double) throws {
    let chosen = (3, 4, share)
    let page = try parsed(
      SamplePages.page(SamplePages.searched(freezing: [chosen], chosen: chosen)))
    let names = page.elements.filter {
      $0.name == "text" && $0.attributes["class"] == "note"
        && ["default", "auto"].contains($0.text)
    }
    try #require(names.count == 4)
    for pair in [names[0...1], names[2...3]] {
      let rows = pair.map { place($0.attributes, "x", "y")[1] }
      #expect(
        abs(rows[0] - rows[1]) >= 13 && rows.allSatisfy { (30...204).contains($0) }, "\(rows)")
    }
    let same = try parsed(SamplePages.page(SamplePages.searched(freezing: [], chosen: nil)))
    #expect(same.texts("text").filter { $0 == "default, auto" }.count == 2)
  }

  /// Of hundreds of schedules one path holds those that are not on the front.
  @Test func aWholeGridStaysSmall() throws {
    var grid: [(Int, Int, Double)] = []
    for a in 0..<32 { for b in (a + 1)...32 { grid.append((a, b, 0.2 + Double(a + b) / 90)) } }
    let text = SamplePages.page(
      SamplePages.searched(layers: 32, k: 20, freezing: grid, chosen: grid[7]), layers: 32,
      usedK: 20)
    #expect(text.utf8.count < 1 << 20, "\(text.utf8.count) bytes")
    _ = try parsed(text)
  }

  @Test func answersAreMarkedWhereTheyPart() throws {
    let page = try parsed(
      SamplePages.page(samples: [
        SamplePages.sample(), SamplePages.sample(full: "same", withdrawn: "same"),
        SamplePages.sample(expected: nil, full: "", withdrawn: "x"),
      ]))
    #expect(page.texts("mark") == ["and 9", "or 9", "x"])
    let answers = page.texts("dd")
    #expect(answers.contains("7 and 9") && answers.contains("7 or 9"))
    #expect(answers.filter { $0 == "same" }.count == 1)
    #expect(answers.contains("(nothing)"))
  }

  @Test func samplesWithoutPicturesAreNamed() throws {
    var lost = SamplePages.sample()
    lost.answers = nil
    var broken = lost
    broken.problem = "picture.png: is empty"
    let page = try parsed(SamplePages.page(samples: [lost, broken]))
    #expect(page.texts("p").contains { $0.contains("were not at hand") })
    #expect(
      page.texts("p").contains { $0.contains("could not be run again: picture.png: is empty") })
    #expect(page.texts("article").allSatisfy { $0.contains("0.05850") && $0.contains("7 of 8") })
  }

  /// Nothing in a record is trusted, and nothing needs to be there.
  @Test(
    arguments: [
      [:], ["tasks": "none", "eta": 3, "pooled": [], "criterion": "x", "layer_costs": ["k"]],
      [
        "k": .integer(.max), "layers": .integer(.max), "tasks": [[:], ["curve": [["k": -1]]]],
        "eta": [["eta": 1, "k": .integer(.max)]], "layer_costs": [["k": .integer(.max)]],
        "pooled": [
          "migration": ["answer": ["visual": [1], "change": "much"]], "packing": 7,
          "curve": [["k": 0, "mean_kl": -1, "mean_kl_interval": [2, 1]]],
        ],
      ],
      [
        "schedules": [
          "chosen": ["freeze": 2, "withdraw": 9, "tasks": [[:], 7]],
          "own": [4, ["freeze": 1, "withdraw": 2], ["updated": "x"]],
          "points": [
            ["freeze": 3, "withdraw": 2, "flops_ratio": 1], ["updated": [-1, 4]], 5, ["freeze": 0],
            ["freeze": 0, "withdraw": 1, "flops_ratio": .number(1e300), "pareto": true],
            ["updated": [0], "flops_ratio": -7, "worst_mean_kl": .number(-1e300)],
            ["updated": [], "least_agreement": .number(9), "worst_mean_kl": .number(1e300)],
          ],
        ]
      ],
      ["schedules": 3], ["schedules": ["points": []]],
      [
        "tasks": [
          [
            "name": "a",
            "curve": [
              ["k": 0, "mean_kl": .number(1e300), "agreement": .number(-5)],
              ["k": 1, "mean_kl": .number(-1e300), "agreement": .number(1e300)], ["k": 2],
            ],
          ]
        ]
      ],
    ] as [JSONValue])
  func recordsMayLackOrHoldAnything(record: JSONValue) throws {
    for k in [0, 4, 6] { _ = try parsed(SamplePages.page(record, usedK: k)) }
    _ = try parsed(SamplePages.page(record, layers: 1, usedK: 1))
  }

  @Test func olderRecordsHaveNoMigration() throws {
    let page = try parsed(
      SamplePages.page(SamplePages.record(migration: false, packing: false)))
    #expect(!page.texts("h2").contains("Where the image goes"))
    #expect(page.texts("td").allSatisfy { !$0.contains(" = K") })
  }

  @Test func neverWithdrawnIsSaid() throws {
    let page = try parsed(
      SamplePages.page(usedK: 6, samples: [SamplePages.sample()]))
    #expect(page.texts("b").first == "K = 6")
    #expect(page.texts("span").contains { $0.contains("stay in all of them") })
    #expect(page.texts("p").contains { $0.contains("K = 5") && $0.contains("never withdraws") })
    #expect(page.texts("li").contains { $0.contains("K = 6 was set by hand") })
    #expect(ReportPage.comparedLayer(6, layerCount: 6) == 5)
    #expect(ReportPage.comparedLayer(2, layerCount: 6) == 2)
  }

  /// What no one could read is left to the tables.
  @Test func manyTasksAndLayersStaySmall() throws {
    let names = (0..<60).map { "task \($0)" }
    let text = SamplePages.page(
      SamplePages.record(tasks: names, layers: 80, k: 79), layers: 80, usedK: 79)
    let page = try parsed(text)
    #expect(page.elements.filter { $0.attributes["class"] == "chart" }.count == 2 + 24 + 1 + 3)
    #expect(text.utf8.count < 5 << 20, "\(text.utf8.count) bytes")
    #expect(page.texts("h3").contains("task 23") && !page.texts("h3").contains("task 24"))
    #expect(page.texts("summary").contains("task 59: all numbers"))
  }

  @Test func thumbnailsAreSmallPictures() throws {
    var pixels: [UInt8] = []
    for y in 0..<200 { for x in 0..<800 { pixels += [UInt8(x / 4), UInt8(y), 40] } }
    let thumbnail = try Thumbnail(RGBImage(width: 800, height: 200, pixels: pixels))
    #expect(thumbnail.width == 320 && thumbnail.height == 80)
    let page = try parsed(
      SamplePages.page(samples: [SamplePages.sample(thumbnails: [thumbnail])]))
    let source = try #require(page.elements.first { $0.name == "img" }?.attributes["src"])
    let base64 = Array(source.utf8.dropFirst("data:image/jpeg;base64,".utf8.count))
    let bytes = try decodeBase64(base64.span, 0..<base64.count, name: "thumbnail")
    #expect(bytes.count < 20_000)
    let decoded = try RGBImage(decoding: bytes, name: "thumbnail")
    #expect(decoded.width == 320 && decoded.height == 80)
    // The middle of the gradient, within what JPEG at this quality changes.
    let middle = 3 * (40 * 320 + 160)
    #expect(abs(Int(decoded.pixels[middle]) - 100) < 8)
    #expect(abs(Int(decoded.pixels[middle + 1]) - 100) < 8)
    #expect(
      try Thumbnail(RGBImage(width: 1, height: 9, pixels: [UInt8](repeating: 7, count: 27))).height
        == 9)
  }
}
