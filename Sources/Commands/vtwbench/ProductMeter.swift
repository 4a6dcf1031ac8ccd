import Architecture
import Inference
import Kernels
import TensorCore

/// Times the decoder's matrix products alone, on the file's own weights, and what bounds them.
struct ProductMeter {
  /// The arithmetic that bounds the products, by the encoding of the decoder's matrices.
  let unit: ArithmeticUnit
  /// The same for the vision tower; nil for a text-only model.
  let visionUnit: ArithmeticUnit?
  let encoding: Encoding
  /// Bytes of weights that every decoded token reads: all decoder matrices and the head.
  let weightBytes: Int
  private let compute: Compute
  /// Of each decoder layer, the matrices that share an input.
  private let layers: [[[Linear]]]
  private let head: Linear
  private let all: [TensorView]
  private let buffers: ProductBuffers
  /// Memory to read where the weights are too few to reach beyond the caches.
  private let plain: Rows?

  /// Rows of a prompt with one image of 576 rows, and of its text alone.
  static let manyRows = 640, fewRows = 64

  /// Weights of at least so many bytes are read from memory rather than from the caches.
  private static let memoryBytes = 512 << 20

  /// Matrices of a decoder layer in the order of use; those of one list share their input.
  private static let roles: [[TensorRole]] = [
    [.query, .key, .value], [.attentionOutput], [.gate, .up], [.down],
  ]

  init(_ model: Model, _ tensors: TensorTable) throws(InputError) {
    func linear(_ role: TensorRole, _ layer: Int?) throws(InputError) -> Linear {
      guard let view = tensors[role, layer: layer] else {
        throw InputError("", "tensor '\(TensorKey(role, layer: layer))' is missing")
      }
      return Linear(weight: view, bias: nil)
    }
    let text = model.configuration.text
    compute = model.compute
    var layers: [[[Linear]]] = []
    for layer in 0..<text.layerCount {
      var groups: [[Linear]] = []
      for roles in Self.roles {
        var group: [Linear] = []
        for role in roles { group.append(try linear(role, layer)) }
        groups.append(group)
      }
      layers.append(groups)
    }
    self.layers = layers
    head = try linear(text.isHeadTied ? .embedding : .head, nil)
    all = layers.flatMap { $0.flatMap { $0.map(\.weight) } } + [head.weight]
    buffers = ProductBuffers(layers.flatMap { $0 }, head, maximumRows: Self.manyRows)
    weightBytes = all.reduce(0) { $0 + $1.byteRange.count }
    encoding = layers.first?.last?.first?.weight.encoding ?? head.weight.encoding
    unit = compute.unit(for: encoding)
    visionUnit = tensors[.visionQuery, layer: 0].map { [compute] in compute.unit(for: $0.encoding) }
    if weightBytes < Self.memoryBytes {
      let rows = Rows(count: 512, width: Self.memoryBytes / 512 / MemoryLayout<Float>.stride)
      rows.fill(with: 1)
      plain = rows
    } else {
      plain = nil
    }
  }

  /// Operations per second of whole layers of products with `rows` rows (at most
  /// `ProductMeter.manyRows`), in turn from layer `first` on, for at least a twentieth of a second.
  func operationsPerSecond(rows: Int, from first: Int) -> Double {
    var operations = 0.0
    var layer = first
    let taken = Self.time {
      let groups = layers[layer % layers.count]
      for group in groups { buffers.multiply(group, rows: rows, compute) }
      layer += 1
      operations += groups.joined().reduce(0) { $0 + 2 * Double($1.inputs * $1.outputs * rows) }
    }
    return operations / taken
  }

  /// Bytes of weights per second that products with one row read, over all layers and the head.
  func bytesPerSecond() -> Double {
    var passes = 0
    let taken = Self.time {
      for groups in layers { for group in groups { buffers.multiply(group, rows: 1, compute) } }
      buffers.multiply([head], rows: 1, compute)
      passes += 1
    }
    return Double(weightBytes * passes) / taken
  }

  /// Bytes per second of plain reading: of the same weights, or of memory if they are few.
  func streamBytesPerSecond() -> Double {
    if let plain { return compute.bytesPerSecond(reading: plain) }
    return compute.bytesPerSecond(reading: all)
  }

  /// Seconds that `body` took, called until a twentieth of a second is over.
  private static func time(_ body: () -> Void) -> Double {
    let start = ContinuousClock.now
    var taken = 0.0
    repeat {
      body()
      taken = seconds(ContinuousClock.now - start)
    } while taken < 0.05
    return taken
  }
}

/// Input and results for any matrix of a model.
private struct ProductBuffers {
  private let input: Rows
  private let results: [Rows]

  /// - Parameters:
  ///   - groups: matrices that share an input, for up to `maximumRows` rows.
  ///   - head: the same for one row.
  init(_ groups: [[Linear]], _ head: Linear, maximumRows: Int) {
    let inputs = groups.map { $0.first?.inputs ?? 0 }.max() ?? 0
    input = Rows(count: 1, width: max(maximumRows * inputs, head.inputs))
    var random = SplitMix64(seed: 1)
    input.fill(from: (0..<input.width).map { _ in Float(random.next() >> 40) / 8_388_608 - 1 })
    results = (0..<max(groups.map(\.count).max() ?? 0, 1)).map { place in
      let outputs = groups.map { place < $0.count ? $0[place].outputs : 0 }.max() ?? 0
      return Rows(count: 1, width: max(maximumRows * outputs, head.outputs))
    }
    for result in results { result.fill(with: 0) }
  }

  func multiply(_ group: [Linear], rows: Int, _ compute: Compute) {
    guard let inputs = group.first?.inputs else { return }
    compute.multiply(
      input.reshaped(count: rows, width: inputs), group,
      into: zip(group, results).map { linear, result in
        result.reshaped(count: rows, width: linear.outputs)
      })
  }
}
