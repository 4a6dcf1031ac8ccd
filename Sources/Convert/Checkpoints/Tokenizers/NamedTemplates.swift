package import Architecture

extension PromptTemplate {
  /// Names that `named(_:)` knows.
  package static let names = all(placeholder: "<image>").map(\.name)

  /// A well-known template, or nil if `name` is none of `names`.
  ///
  /// - Parameter imagePlaceholder: the text that marks an image.
  package static func named(
    _ name: String, imagePlaceholder: String = "<image>"
  ) -> PromptTemplate? {
    all(placeholder: imagePlaceholder).first { $0.name == name }
  }

  /// The template of checkpoints that bring none: the conversation that the original LLaVA-1.5 code
  /// chooses for a model with "v1" in its name, with that conversation's system text.
  static let llavaDefault = "llava_v1"

  private static func all(placeholder: String) -> [PromptTemplate] {
    func template(
      _ name: String, opening: String = "", user: String, userEnd: String, assistant: String = "",
      end: String
    ) -> PromptTemplate {
      PromptTemplate(
        name: name, opening: opening, userStart: user, image: placeholder + "\n",
        userEnd: userEnd, assistantStart: assistant, assistantEnd: end,
        imagePlaceholder: placeholder)
    }
    func vicuna(_ name: String, _ opening: String) -> PromptTemplate {
      template(
        name, opening: opening, user: "USER: ", userEnd: " ", assistant: "ASSISTANT:",
        end: "</s>")
    }
    return [
      vicuna(
        "llava_v1",
        "A chat between a curious human and an artificial intelligence assistant. The assistant "
          + "gives helpful, detailed, and polite answers to the human's questions. "),
      vicuna(
        "vicuna_v1",
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
          + "gives helpful, detailed, and polite answers to the user's questions. "),
      template(
        "chatml", user: "<|im_start|>user\n", userEnd: "<|im_end|>\n",
        assistant: "<|im_start|>assistant\n", end: "<|im_end|>\n"),
      template("llama-2", user: "[INST] ", userEnd: " [/INST]", end: " </s><s>"),
      template("mistral", user: "[INST] ", userEnd: " [/INST]", end: "</s>"),
      template(
        "llama-3", user: "<|start_header_id|>user<|end_header_id|>\n\n", userEnd: "<|eot_id|>",
        assistant: "<|start_header_id|>assistant<|end_header_id|>\n\n", end: "<|eot_id|>"),
      template("plain", user: "", userEnd: "\n", end: "\n"),
    ]
  }
}
