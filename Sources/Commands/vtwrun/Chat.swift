import CommandSupport
import Inference
import Prompting
import TensorCore

/// The interactive chat of a terminal.
struct Chat {
  private let conversation: Conversation
  private let firstImages: [String]
  private let isQuiet: Bool

  init(_ conversation: Conversation, firstImages: [String], isQuiet: Bool) {
    self.conversation = conversation
    self.firstImages = firstImages
    self.isQuiet = isQuiet
  }

  private static let help = """
    /image FILE  show an image with the next question
    /reset       begin a new conversation
    /stats       what the last answer took
    /quit        leave

    """

  /// Reads questions until the input ends; a question that fails is reported and the chat goes on.
  func run() {
    var images = firstImages
    var report: RunReport?
    if !isQuiet { StandardError.write(Self.help) }
    // A person takes seconds to ask.
    let reading = conversation.session.model.readAhead(nil, images: true)
    while true {
      StandardError.write("> ")
      guard let line = readLine() else {
        StandardError.write("\n")
        return
      }
      let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
      switch words.first {
      case nil: continue
      case "/quit": return
      case "/reset":
        conversation.reset()
        images = []
        report = nil
      case "/stats": StandardError.write(report?.text ?? "no answer yet\n")
      case "/image":
        if words.count == 2 {
          images.append(String(words[1]))
        } else {
          StandardError.write(Self.help)
        }
      case let word? where word.hasPrefix("/"): StandardError.write(Self.help)
      default:
        reading.stop()
        do {
          let start = ContinuousClock().now
          let turn = try conversation.ask(
            line, images: images.map(ImageSource.init(path:)), isRaw: false
          ) {
            StandardOutput.write($0)
          }
          StandardOutput.write("\n")
          images = []
          report = RunReport(
            turn: turn, session: conversation.session, loadSeconds: 0, start: start)
        } catch {
          StandardOutput.write("\n")
          StandardError.write("error: \(error)\n")
          images = []
        }
      }
    }
  }
}
