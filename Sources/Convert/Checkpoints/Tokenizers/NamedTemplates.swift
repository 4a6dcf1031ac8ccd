package import Architecture

extension PromptTemplate {
  /// Names that `named(_:)` knows.
  package static let names = named.map(\.name)

  /// A well-known template, or nil if `name` is none of `names`.
  package static func named(_ name: String) -> PromptTemplate? {
    named.first { $0.name == name }
  }

  /// The template of checkpoints that bring none: the conversation that the original LLaVA-1.5 code
  /// chooses for a model with "v1" in its name, with that conversation's system text.
  static let llavaDefault = "llava_v1"

  private static let named = [
    vicuna(
      "llava_v1",
      "A chat between a curious human and an artificial intelligence assistant. The assistant "
        + "gives helpful, detailed, and polite answers to the human's questions. "),
    vicuna(
      "vicuna_v1",
      "A chat between a curious user and an artificial intelligence assistant. The assistant "
        + "gives helpful, detailed, and polite answers to the user's questions. "),
    PromptTemplate(
      name: "chatml", opening: "", userStart: "<|im_start|>user\n", image: "<image>\n",
      userEnd: "<|im_end|>\n", assistantStart: "<|im_start|>assistant\n",
      assistantEnd: "<|im_end|>\n"),
    PromptTemplate(
      name: "llama-2", opening: "", userStart: "[INST] ", image: "<image>\n",
      userEnd: " [/INST]", assistantStart: "", assistantEnd: " </s><s>"),
    PromptTemplate(
      name: "mistral", opening: "", userStart: "[INST] ", image: "<image>\n",
      userEnd: " [/INST]", assistantStart: "", assistantEnd: "</s>"),
    PromptTemplate(
      name: "llama-3", opening: "",
      userStart: "<|start_header_id|>user<|end_header_id|>\n\n", image: "<image>\n",
      userEnd: "<|eot_id|>",
      assistantStart: "<|start_header_id|>assistant<|end_header_id|>\n\n",
      assistantEnd: "<|eot_id|>"),
    PromptTemplate(
      name: "plain", opening: "", userStart: "", image: "<image>\n", userEnd: "\n",
      assistantStart: "", assistantEnd: "\n"),
  ]

  private static func vicuna(_ name: String, _ opening: String) -> PromptTemplate {
    PromptTemplate(
      name: name, opening: opening, userStart: "USER: ", image: "<image>\n", userEnd: " ",
      assistantStart: "ASSISTANT:", assistantEnd: "</s>")
  }
}
