extension VTWMContents {
  /// Names everything that the model's numbers depend on beside its schedule: 64 hexadecimal digits.
  ///
  /// - Parameter weights: SHA-256 of each weight section.
  func modelID(weights: [[UInt8]], _ precision: KeyValuePrecision) -> String {
    var digest = SHA256Digest()
    let parts = [
      ModelCodec.encode(configuration, template: template),
      imageSteps.map(ImageStepsCodec.encode) ?? [],
      TokenizerCodec.encode(tokenizer), TemplateCodec.encode(template), [precision.rawValue],
    ]
    for hash in parts.map(SHA256Digest.of) + weights { digest.update(hash) }
    return hexadecimal(digest.finish())
  }
}

extension VTWMFile {
  /// Equal for files that give equal numbers at every withdrawal layer, whatever their plans.
  package var modelID: String {
    VTWMContents(self).modelID(
      weights: sections.filter { $0.type == .weights }.map(\.sha256), keyValuePrecision)
  }
}
