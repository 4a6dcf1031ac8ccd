/// Why a chat template cannot be read: it uses more of Jinja than we know, or breaks a limit.
struct JinjaError: Error, Equatable {
  var problem: String

  init(_ problem: String) { self.problem = problem }
}

/// A part of a template's text.
enum JinjaSegment: Equatable {
  /// Printed as it is.
  case text(String)
  /// `{{ … }}`
  case output([JinjaToken])
  /// `{% … %}`
  case statement([JinjaToken])
}

enum JinjaToken: Equatable {
  case name(String)
  case string(String)
  case integer(Int)
  case symbol(String)

  /// As a template would spell it, for messages.
  var text: String {
    switch self {
    case .name(let text), .symbol(let text): text
    case .string(let text): "'\(text)'"
    case .integer(let value): "\(value)"
    }
  }
}

indirect enum JinjaExpression: Equatable {
  case literal(JinjaValue)
  case name(String)
  case member(JinjaExpression, String)
  case index(JinjaExpression, JinjaExpression)
  case slice(JinjaExpression, from: JinjaExpression?, to: JinjaExpression?)
  case list([JinjaExpression])
  /// A function, or with a subject a method of it.
  case call(subject: JinjaExpression?, String, [JinjaExpression], named: [String: JinjaExpression])
  case filter(JinjaExpression, String, [JinjaExpression])
  case test(JinjaExpression, String, [JinjaExpression])
  case not(JinjaExpression)
  case negative(JinjaExpression)
  case binary(String, JinjaExpression, JinjaExpression)
  case conditional(JinjaExpression, if: JinjaExpression, else: JinjaExpression?)
}

indirect enum JinjaNode: Equatable {
  case text(String)
  case output(JinjaExpression)
  /// With several variables each value is a list of as many.
  case loop(
    variables: [String], over: JinjaExpression, where: JinjaExpression?, body: [JinjaNode])
  /// The first branch whose condition holds; nil is `else`.
  case branches([JinjaBranch])
  /// `{% set name = … %}` or `{% set object.name = … %}`
  case set(object: String?, name: String, JinjaExpression)
}

struct JinjaBranch: Equatable {
  var condition: JinjaExpression?
  var body: [JinjaNode]
}

enum JinjaValue: Equatable {
  case undefined
  case none
  case bool(Bool)
  case integer(Int)
  case string(String)
  case list([JinjaValue])
  case dictionary([String: JinjaValue])
  /// A `namespace(…)`, by its number.
  case namespace(Int)
}
