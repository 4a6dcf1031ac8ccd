/// The page's looks: light, dark, and on paper; nothing in it depends on colour alone.
enum StyleSheet {
  static let text = """
    \(variables(light))
    @media (prefers-color-scheme: dark) {
    \(variables(dark))
    }
    @media print {
    \(variables(light))
    }
    \(rules)

    """

  private static let light = [
    "page": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "rule": "#d0d7de", "card": "#f6f8fa",
    "heat": "9 105 218", "warn": "#fff4d6", "mark": "#ffe08a",
    "s0": "#0550ae", "s1": "#b35900", "s2": "#1a7f37", "s3": "#8250df", "s4": "#bf3989",
    "s5": "#57606a", "s6": "#9a6700", "s7": "#0a7ea4",
  ]
  private static let dark = [
    "page": "#0d1117", "ink": "#e6edf3", "soft": "#9aa4af", "rule": "#3d444d", "card": "#161b22",
    "heat": "56 139 253", "warn": "#3a2d05", "mark": "#6b5300",
    "s0": "#79c0ff", "s1": "#ffa657", "s2": "#7ee787", "s3": "#d2a8ff", "s4": "#ff9bce",
    "s5": "#c9d1d9", "s6": "#e3b341", "s7": "#76e3ea",
  ]

  private static func variables(_ values: [String: String]) -> String {
    let lines = values.sorted { $0.key < $1.key }.map { "--\($0.key): \($0.value);" }
    return ":root { \(lines.joined(separator: " ")) }"
  }

  private static let rules = """
    :root { color-scheme: light dark }
    * { box-sizing: border-box }
    body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 3rem; background: var(--page);
      color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem }
    h2 { font-size: 1.25rem; margin: 2.75rem 0 .25rem; padding-top: .75rem;
      border-top: 1px solid var(--rule) }
    h3 { font-size: 1rem; margin: 0 0 .25rem }
    p, ul { margin: .5rem 0; max-width: 46rem }
    .soft, figcaption, .lead { color: var(--soft) }
    .tiles { display: grid; gap: .75rem; margin: 1.25rem 0;
      grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)) }
    .tile { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem;
      padding: .6rem .9rem }
    .tile b { display: block; font-size: 1.5rem; line-height: 1.3 }
    .tile span { color: var(--soft); font-size: .875rem }
    .warning { background: var(--warn); border: 1px solid var(--rule);
      border-left: .35rem solid var(--s6); border-radius: .25rem; padding: .4rem .75rem }
    .charts { display: grid; gap: 1.25rem 1.5rem; margin: 1rem 0;
      grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)) }
    .charts.wide { grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)) }
    figure { margin: 0; max-width: 31rem; break-inside: avoid }
    svg.chart { display: block; width: 100%; height: auto }
    figcaption { font-size: .875rem }
    svg text { fill: var(--ink); font-family: system-ui, sans-serif; font-size: 11px }
    svg .axis { fill: var(--soft) }
    svg .note { font-weight: 600; paint-order: stroke; stroke: var(--page); stroke-width: 3px }
    svg .grid { fill: none; stroke: var(--rule); stroke-width: .7 }
    svg .choice { fill: none; stroke: var(--ink); stroke-width: 1.2 }
    svg .bound { fill: none; stroke: var(--ink); stroke-width: 1.4 }
    svg .front { fill: none; stroke: var(--soft); stroke-width: 1.4 }
    svg .many { opacity: .45 }
    svg .rows { fill: var(--s0) }
    svg .line, svg .open { fill: none; stroke-width: 1.7 }
    svg .band { opacity: .16 }
    \(series)
    .legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; margin: .5rem 0;
      max-width: none; padding: 0; font-size: .9rem }
    .legend svg { vertical-align: middle }
    .scroll { overflow-x: auto; margin: .75rem 0 }
    table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
    th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap;
      border-bottom: 1px solid var(--rule) }
    th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal }
    th:first-child, td:first-child { text-align: left; padding-left: .2rem; position: sticky;
      left: 0; background: var(--page) }
    td.words { text-align: left; white-space: normal; min-width: 12rem }
    tr.chosen td, tr.chosen td:first-child { background: var(--card); font-weight: 600;
      border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink) }
    td.range, td small { color: var(--soft) }
    td small { display: block; font-size: .75rem }
    td.heat { background: rgb(var(--heat) / calc(var(--share) * 60%)); text-align: center;
      min-width: 2.75rem; padding-left: .3rem; padding-right: .3rem; print-color-adjust: exact; -webkit-print-color-adjust: exact }
    tr.chosen td.heat { background: rgb(var(--heat) / calc(var(--share) * 60%)) }
    .samples { display: grid; gap: 1rem; margin: 1rem 0;
      grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)) }
    article { border: 1px solid var(--rule); border-radius: .5rem; padding: .75rem .9rem;
      break-inside: avoid; display: flex; flex-wrap: wrap; gap: .75rem 1rem }
    article .pictures { display: flex; flex-wrap: wrap; gap: .5rem; align-content: flex-start;
      max-width: 100% }
    article img { display: block; max-width: 10rem; max-height: 10rem; width: auto; height: auto;
      border: 1px solid var(--rule) }
    article img.small { width: 6rem; image-rendering: pixelated }
    article .telling { flex: 1 1 14rem; min-width: 0 }
    dl { margin: .5rem 0 0 }
    dt { color: var(--soft); font-size: .8rem; margin-top: .35rem }
    dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate }
    mark { background: var(--mark); color: inherit; text-decoration: underline;
      text-decoration-thickness: 2px; print-color-adjust: exact;
      -webkit-print-color-adjust: exact }
    details { margin: .75rem 0 }
    summary { cursor: pointer }
    footer { margin-top: 3rem; color: var(--soft); font-size: .875rem }
    @media print {
      body { max-width: none; padding: 0; font-size: 10pt }
      h2, h3 { break-after: avoid }
      p { break-inside: avoid }
      details:not([open]) { display: none }
      .charts, .charts.wide { grid-template-columns: repeat(2, 1fr) }
      .samples { grid-template-columns: repeat(2, 1fr); gap: .5rem }
      article { padding: .5rem .6rem; gap: .5rem }
      article img { max-width: 6.5rem; max-height: 6.5rem }
      article .telling { flex-basis: 9rem }
      section p { break-after: avoid }
      .scroll { overflow: visible }
      table { font-size: 8pt }
      th, td { padding: .15rem .35rem }
      tr { break-inside: avoid }
    }
    """

  private static let series = (0..<ChartStyle.count).map { index in
    "svg .line.s\(index), svg .open.s\(index) { stroke: var(--s\(index)) } "
      + "svg .marker.s\(index), svg .band.s\(index) { fill: var(--s\(index)) }"
  }.joined(separator: "\n")
}
