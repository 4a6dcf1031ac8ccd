import Architecture
import TensorCore

/// Section cHAt: the text around each turn, as JSON.
enum TemplateCodec {
  /// What a file without this section means: the question alone, after its images.
  static let plain = PromptTemplate(
    name: "plain", opening: "", userStart: "", image: "<image>\n", userEnd: "", assistantStart: "",
    assistantEnd: "")

  static func encode(_ template: PromptTemplate) -> [UInt8] {
    var members: [(String, JSONValue)] = [
      ("name", .string(template.name)), ("opening", .string(template.opening)),
      ("user_start", .string(template.userStart)), ("image", .string(template.image)),
      ("user_end", .string(template.userEnd)),
      ("assistant_start", .string(template.assistantStart)),
      ("assistant_end", .string(template.assistantEnd)),
      ("image_placeholder", .string(template.imagePlaceholder)),
    ]
    if !template.questionStart.isEmpty {
      members.append(("question_start", .string(template.questionStart)))
    }
    return JSONValue.object(JSONObject(members)).canonicalBytes
  }

  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, file: String
  ) throws(InputError) -> PromptTemplate {
    let fields = try JSONFields(parsing: bytes, section: .template, file: file)
    let template = PromptTemplate(
      name: try fields.string("name", limit: VTWMLimits.nameSize),
      opening: try fields.string("opening"), userStart: try fields.string("user_start"),
      image: try fields.string("image"),
      questionStart: fields.has("question_start") ? try fields.string("question_start") : "",
      userEnd: try fields.string("user_end"),
      assistantStart: try fields.string("assistant_start"),
      assistantEnd: try fields.string("assistant_end"),
      imagePlaceholder: try fields.string("image_placeholder"))
    if configuration.vision != nil {
      guard !template.imagePlaceholder.isEmpty, template.image.contains(template.imagePlaceholder)
      else {
        throw fields.error(
          "image", "does not hold the placeholder '\(printable(template.imagePlaceholder))'")
      }
    }
    return template
  }
}
