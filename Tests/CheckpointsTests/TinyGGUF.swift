import Checkpoints
import TensorCore
import TestSupport
import Testing

/// A GGUF file of a few kilobytes, made of parts that a test may change before they are joined.
///
/// `model` is a LLaMA of one layer with a SentencePiece tokenizer of five pieces, `projector` a tower
/// of two layers with a projector that fits it.
struct TinyGGUF {
  struct Key {
    var name: String
    /// Number of the value's type.
    var type: UInt32
    var value: [UInt8]
  }

  struct Tensor {
    var name: String
    /// Row length first, as in the file.
    var dimensions: [UInt64]
    var type: UInt32 = 0
    var data: [UInt8]
    /// From the start of the data; nil behind the tensor before it.
    var offset: UInt64?
  }

  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// What the file says of its number of tensors and keys; the real ones if nil.
  var tensorCount: UInt64?
  var keyCount: UInt64?
  var keys: [Key] = []
  var tensors: [Tensor] = []
  var alignment = 32

  var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.append(magic)
    writer.integer(version)
    writer.integer(tensorCount ?? UInt64(tensors.count))
    writer.integer(keyCount ?? UInt64(keys.count))
    for key in keys {
      writer.append(Self.string(key.name))
      writer.integer(key.type)
      writer.append(key.value)
    }
    var end: UInt64 = 0
    var data = ByteWriter()
    for tensor in tensors {
      writer.append(Self.string(tensor.name))
      writer.integer(UInt32(tensor.dimensions.count))
      for size in tensor.dimensions { writer.integer(size) }
      writer.integer(tensor.type)
      writer.integer(tensor.offset ?? end)
      data.append(tensor.data)
      data.align(to: alignment)
      end = UInt64(data.bytes.count)
    }
    writer.align(to: alignment)
    writer.append(data.bytes)
    return writer.bytes
  }

  static func string(_ text: String) -> [UInt8] { size(text.utf8.count) + text.utf8 }

  static func size(_ count: Int) -> [UInt8] { number(UInt64(count)) }

  static func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(value)
    return writer.bytes
  }

  static func array(_ type: UInt32, _ values: [[UInt8]]) -> [UInt8] {
    number(type) + size(values.count) + values.joined()
  }

  // Keys by their Swift type

  mutating func set(_ name: String, _ value: UInt32) { set(name, 4, Self.number(value)) }
  mutating func set(_ name: String, _ value: Float) { set(name, 6, Self.number(value.bitPattern)) }
  mutating func set(_ name: String, _ value: Bool) { set(name, 7, [value ? 1 : 0]) }
  mutating func set(_ name: String, _ value: String) { set(name, 8, Self.string(value)) }
  mutating func set(_ name: String, _ value: [String]) {
    set(name, 9, Self.array(8, value.map(Self.string)))
  }
  mutating func set(_ name: String, _ value: [Float]) {
    set(name, 9, Self.array(6, value.map { Self.number($0.bitPattern) }))
  }
  mutating func set(_ name: String, _ value: [Int32]) {
    set(name, 9, Self.array(5, value.map(Self.number)))
  }

  mutating func set(_ name: String, _ type: UInt32, _ value: [UInt8]) {
    remove(name)
    keys.append(Key(name: name, type: type, value: value))
  }

  mutating func remove(_ name: String) { keys.removeAll { $0.name == name } }

  /// Adds an f32 tensor whose values are its place among all, so that none are alike.
  mutating func add(_ name: String, _ dimensions: [UInt64]) {
    let count = Int(dimensions.reduce(1, *))
    let value = Float(tensors.count + 1)
    let data = (0..<count).flatMap { Self.number((value + Float($0) / 64).bitPattern) }
    tensors.append(Tensor(name: name, dimensions: dimensions, data: data))
  }

  static var model: TinyGGUF {
    var file = TinyGGUF()
    file.set("general.architecture", "llama")
    file.set("llama.block_count", UInt32(1))
    file.set("llama.context_length", UInt32(16))
    file.set("llama.embedding_length", UInt32(8))
    file.set("llama.feed_forward_length", UInt32(6))
    file.set("llama.attention.head_count", UInt32(2))
    file.set("llama.attention.head_count_kv", UInt32(1))
    file.set("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
    file.set("llama.rope.freq_base", Float(10000))
    file.set("tokenizer.ggml.model", "llama")
    file.set("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "<0x0A>", "a"])
    file.set("tokenizer.ggml.scores", [0, 0, 0, 0, -1] as [Float])
    file.set("tokenizer.ggml.token_type", [2, 3, 3, 6, 1] as [Int32])
    file.add("token_embd.weight", [8, 5])
    file.add("output_norm.weight", [8])
    for (name, dimensions): (String, [UInt64]) in [
      ("attn_norm", [8]), ("attn_q", [8, 8]), ("attn_k", [8, 4]), ("attn_v", [8, 4]),
      ("attn_output", [8, 8]), ("ffn_norm", [8]), ("ffn_gate", [8, 6]), ("ffn_up", [8, 6]),
      ("ffn_down", [6, 8]),
    ] {
      file.add("blk.0.\(name).weight", dimensions)
    }
    return file
  }

  /// What is wrong with a model that `change` has spoilt, in a file in `folder`; nil if it is taken.
  static func problem(
    in folder: TemporaryFolder, _ change: (inout TinyGGUF) -> Void
  ) throws -> String? {
    var tiny = model
    change(&tiny)
    let path = try folder.write(tiny.bytes, to: "m.gguf")
    do throws(InputError) {
      _ = try Checkpoint(at: path)
      return nil
    } catch {
      #expect(error.file == path)
      return error.problem
    }
  }

  static var projector: TinyGGUF {
    var file = TinyGGUF()
    file.set("general.architecture", "clip")
    file.set("clip.has_vision_encoder", true)
    file.set("clip.projector_type", "mlp")
    file.set("clip.vision.image_size", UInt32(4))
    file.set("clip.vision.patch_size", UInt32(2))
    file.set("clip.vision.embedding_length", UInt32(8))
    file.set("clip.vision.feed_forward_length", UInt32(12))
    file.set("clip.vision.attention.head_count", UInt32(2))
    file.set("clip.vision.attention.layer_norm_epsilon", Float(1e-5))
    file.set("clip.vision.block_count", UInt32(2))
    file.set("clip.vision.image_mean", [0.5, 0.25, 0] as [Float])
    file.set("clip.vision.image_std", [0.5, 0.5, 0.5] as [Float])
    file.add("v.class_embd", [8])
    file.add("v.patch_embd.weight", [2, 2, 3, 8])
    file.add("v.position_embd.weight", [8, 5])
    let norms: [(String, [UInt64])] = ["ln1", "ln2"].map { ($0, [8]) }
    let matrices: [(String, [UInt64])] =
      ["attn_q", "attn_k", "attn_v", "attn_out"].map { ($0, [8, 8]) }
      + [("ffn_up", [8, 12]), ("ffn_down", [12, 8])]
    for (name, dimensions) in [("v.pre_ln", [8])]
      + (0..<2).flatMap({ layer in
        (norms + matrices).map { ("v.blk.\(layer).\($0.0)", $0.1) }
      })
      + [("mm.0", [8, 8]), ("mm.2", [8, 8])]
    {
      file.add("\(name).weight", dimensions)
      file.add("\(name).bias", [dimensions[dimensions.count - 1]])
    }
    return file
  }
}
