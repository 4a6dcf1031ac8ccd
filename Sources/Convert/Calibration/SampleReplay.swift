import Architecture
import Inference
import Kernels
package import Prompting
package import SampleSets
package import TensorCore

/// One sample as the runtime meets it: run again under any schedule, to compare answers and times.
package struct SampleReplay {
  /// Its decoded pictures.
  package let images: [RGBImage]
  package let visualRows: Int
  /// Rows of the prompt beside those of images.
  package let textRows: Int
  /// Vision tower and projector.
  package let visionSeconds: Double
  private let prompt: ModelInput
  private let visual: Rows?
  private let model: Model
  private let precision: KeyValueRows.Precision

  init(
    images: [RGBImage], prompt: ModelInput, visual: Rows?, visionSeconds: Double, model: Model,
    precision: KeyValueRows.Precision
  ) {
    self.images = images
    self.prompt = prompt
    self.visual = visual
    self.visionSeconds = visionSeconds
    self.model = model
    self.precision = precision
    visualRows = prompt.classes.count { $0 == .visual }
    textRows = prompt.classes.count - visualRows
  }

  package var layerCount: Int { model.configuration.text.layerCount }

  /// The greedy answer if visual rows leave at layer `k`.
  package func answer(
    withdrawingAt k: Int, mostTokens: Int, tokenizer: Tokenizer
  ) throws(InputError) -> String {
    let session = session(k)
    let logits = try session.prefill(prompt, visual: visual)
    let stop = StopRule(
      endOfTextIDs: Set(model.configuration.endOfTextIDs.map(Int32.init)), maxTokens: mostTokens)
    var sampler = Sampler(SamplingOptions())
    return try Generator(tokenizer, stop: stop).generate(
      session, from: logits, sampler: &sampler, emit: { _ in }
    ).text
  }

  /// Seconds of wall-clock time from the image's rows to the first token's logits.
  package func prefillSeconds(withdrawingAt k: Int) throws(InputError) -> Double {
    let session = session(k)
    let clock = ContinuousClock()
    let start = clock.now
    _ = try session.prefill(prompt, visual: visual)
    return seconds(clock.now - start)
  }

  /// The share of the decoder's prefill operations that withdrawing at `k` leaves of this prompt's.
  package func operations(withdrawingAt k: Int) -> Double {
    let text = model.configuration.text
    func operations(_ k: Int) -> Double {
      ScheduleCost(
        ScheduleProfile(withdrawingAt: k, of: text.layerCount), text: text, textRows: textRows,
        visualRows: visualRows
      ).operations
    }
    return operations(k) / operations(text.layerCount)
  }

  private func session(_ k: Int) -> Session {
    Session(
      model,
      profile: ScheduleProfile(withdrawingAt: k, of: layerCount),
      precision: precision)
  }
}

extension Calibrator {
  /// Prepares `sample` to be run again.
  ///
  /// - Throws: `InputError` if its pictures or its prompt cannot be used.
  package func replay(_ sample: Sample) throws(InputError) -> SampleReplay {
    var images: [RGBImage] = []
    for source in sample.images { images.append(try RGBImage(source)) }
    let pictures = try self.pictures(sample)
    let prompt = try self.prompt(sample, pictures)
    let clock = ContinuousClock()
    let start = clock.now
    let visual = pictures.isEmpty ? nil : try model.encode(pictures)
    return SampleReplay(
      images: images, prompt: prompt, visual: visual, visionSeconds: seconds(clock.now - start),
      model: model, precision: precision)
  }
}
