package import Architecture
package import Inference
package import Kernels
package import Prompting
package import TensorCore
package import VTWMFile

/// A mapped file made ready to answer: what `vtwrun`, `vtweval` and `vtwbench` share.
package struct Runtime {
  package let file: VTWMFile
  package let model: Model
  package let profile: ScheduleProfile
  package let tokenizer: Tokenizer
  package let encoder: PromptEncoder
  /// How sessions hold keys and values.
  package let precision: KeyValueRows.Precision

  /// - Parameter precision: how sessions hold keys and values; nil for what the file says.
  package init(
    _ file: VTWMFile, profile: ScheduleProfile, engine: EngineOptions,
    precision: KeyValueRows.Precision?
  ) throws(InputError) {
    self.file = file
    self.precision = precision ?? file.keyValuePrecision.kernel
    self.profile = profile
    tokenizer = try Tokenizer(file.tokenizer)
    encoder = PromptEncoder(
      tokenizer: tokenizer, template: file.template, configuration: file.configuration)
    model = try Model(file.configuration, file.tensors, try engine.compute())
  }

  /// A new session that runs `profile`, or the chosen profile.
  package func session(_ profile: ScheduleProfile? = nil) -> Session {
    Session(model, profile: profile ?? self.profile, precision: precision)
  }

  /// A new conversation.
  package func conversation(
    sampling: SamplingOptions, stop: StopRule, profile: ScheduleProfile? = nil
  ) throws(InputError) -> Conversation {
    Conversation(
      session(profile), encoder: encoder, imageSteps: file.imageSteps,
      generator: Generator(tokenizer, stop: stop), sampling: sampling)
  }
}

extension EngineOptions {
  /// The engine that these options ask for.
  package func compute() throws(InputError) -> Compute {
    var chosen: InstructionSet?
    if let instructionSet {
      guard let known = InstructionSet(rawValue: instructionSet),
        InstructionSet.supported.contains(known)
      else {
        let names = InstructionSet.supported.map(\.rawValue).joined(separator: ", ")
        throw InputError(
          "", "--isa \(printable(instructionSet)) is not available; this processor has \(names)")
      }
      chosen = known
    }
    return Compute(threads: threads, isPinned: pin, instructionSet: chosen)
  }
}

extension KeyValuePrecision {
  /// The same in the engine's terms.
  package var kernel: KeyValueRows.Precision {
    switch self {
    case .f32: .f32
    case .f16: .f16
    }
  }
}
