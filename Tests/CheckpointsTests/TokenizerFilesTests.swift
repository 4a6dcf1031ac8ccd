import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct TokenizerFilesTests {
  private static let jinja = """
    {% for m in messages %}NAME {{ m['role'] }}: {{ m['content'] }}
    {% endfor %}{% if add_generation_prompt %}NAME assistant: {% endif %}
    """

  /// A folder with the demo's tokenizer and chat templates under `files`, each with its file's name.
  private func read(
    _ files: [String], tokenizer: String = "tools/demo-llava/model/tokenizer.model",
    templateName: String? = nil, others: [String: String] = [:]
  ) throws -> PromptTemplate {
    let folder = try TemporaryFolder()
    try folder.link(
      tokenizer.hasSuffix(".model") ? "tokenizer.model" : "tokenizer.json",
      to: repositoryPath(tokenizer))
    for (name, text) in others { try folder.write(text, to: name) }
    for name in files {
      let text = Self.jinja.replacing("NAME", with: name)
      try folder.write(
        name.hasSuffix(".jinja")
          ? text : JSONValue.object(JSONObject([("chat_template", .string(text))])).text,
        to: name)
    }
    do throws(InputError) {
      return try TokenizerFiles.read(folder: folder.path, templateName: templateName).1
    } catch {
      throw InputError(error.file.replacing(folder.path, with: "FOLDER"), error.problem)
    }
  }

  @Test func theFirstFileWithATemplateWins() throws {
    let files = [
      "chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json",
    ]
    for first in files.indices {
      let template = try read(Array(files[first...]))
      #expect(template.userStart == "\(files[first]) user: ")
      #expect(template.assistantStart == "\(files[first]) assistant: ")
      #expect(template.userEnd == "\n")
    }
  }

  @Test func ofNamedTemplatesTheDefaultIsRead() throws {
    let list = JSONValue.array([
      .object(JSONObject([("name", "tools"), ("template", "{{ x | tojson }}")])),
      .object(JSONObject([("name", "default"), ("template", .string(Self.jinja))])),
    ])
    let text = JSONValue.object(JSONObject([("chat_template", list)])).text
    #expect(try read([], others: ["tokenizer_config.json": text]).userStart == "NAME user: ")
    #expect(
      throws: InputError(
        "FOLDER/tokenizer_config.json",
        "'chat_template' is an array without a template named 'default'")
    ) { try read([], others: ["tokenizer_config.json": #"{"chat_template": []}"#]) }
  }

  @Test func vocabulariesOfLLaMAWithoutTemplateGetTheConversationOfLLaVA() throws {
    let template = try read([])
    #expect(template == PromptTemplate.named("llava_v1"))
    #expect(template.opening.hasPrefix("A chat between a curious human and an artificial"))
    #expect(
      throws: InputError(
        "FOLDER",
        "has no chat template; choose one with --template (llava_v1, vicuna_v1, chatml, llama-2, "
          + "mistral, llama-3, plain)")
    ) { try read([], tokenizer: "Tests/Fixtures/tokenizers/qwen2.json") }
  }

  @Test func aChosenTemplateComesBeforeTheFolders() throws {
    #expect(
      try read(["chat_template.jinja"], templateName: "chatml") == PromptTemplate.named("chatml"))
    #expect(
      throws: InputError(
        "",
        "--template 'chat\\u{a}' is unknown; known are llava_v1, vicuna_v1, chatml, llama-2, "
          + "mistral, llama-3, plain")
    ) { try read([], templateName: "chat\n") }
  }

  @Test func theProcessorNamesThePlaceholder() throws {
    let processor = ["processor_config.json": #"{"image_token": "<|image_pad|>"}"#]
    let template = try read([], others: processor)
    #expect(template.imagePlaceholder == "<|image_pad|>")
    #expect(template.image == "<|image_pad|>\n")
    let files = [
      "chat_template.jinja": "{% for m in messages %}{% for c in m.content %}"
        + "{{ '[<|image_pad|>]' if c.type == 'image' else c.text }}{% endfor %};{% endfor %}"
    ]
    let read = try read([], others: files.merging(processor) { a, _ in a })
    #expect(read.image == "[<|image_pad|>]")
  }

  @Test func foldersWithoutTokenizerAreRefused() throws {
    let folder = try TemporaryFolder()
    #expect(
      throws: InputError(folder.path, "has neither tokenizer.json nor tokenizer.model")
    ) { try TokenizerFiles.read(folder: folder.path) }
  }

  @Test func filesThatAreNoObjectsAreRefused() {
    for name in ["tokenizer_config.json", "special_tokens_map.json", "processor_config.json"] {
      #expect(
        throws: InputError("FOLDER/\(name)", "the document is an array, not an object")
      ) { try read([], others: [name: "[]"]) }
    }
  }

  @Test func namedTemplatesHaveTheirNames() {
    for name in PromptTemplate.names {
      let template = PromptTemplate.named(name, imagePlaceholder: "<i>")
      #expect(template?.name == name)
      #expect(template?.image == "<i>\n")
    }
    #expect(PromptTemplate.named("none") == nil)
  }
}
