import Architecture
import TensorCore
import VTWMFile

/// What a model is, in short.
enum ModelFacts {
  static func list(_ file: VTWMFile) -> [String] {
    let configuration = file.configuration
    let text = configuration.text
    var facts = [
      "\(printable(configuration.name)) (\(printable(configuration.family)))",
      "\(text.layerCount) decoder layers of width \(text.hiddenSize)",
    ]
    if let vision = configuration.vision {
      facts.append(
        (vision.tiling == nil ? "" : "up to ")
          + "\(configuration.rowsOfLargestImage) visual rows per image")
    }
    var bytes: [Encoding: Int] = [:]
    for info in file.tensorInfos { bytes[info.encoding, default: 0] += info.byteRange.count }
    let encodings = Encoding.allCases.compactMap { encoding in
      bytes[encoding].map { "\(encoding.name) \(byteText($0))" }
    }
    facts.append("weights " + encodings.joined(separator: ", "))
    facts.append("content id \(file.contentID.prefix(16))")
    return facts
  }
}
