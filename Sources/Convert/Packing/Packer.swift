package import Architecture
package import Checkpoints
package import Kernels
import TensorCore
package import VTWMFile

/// Streams tensors from a checkpoint into the tiles of a pending file.
///
/// All threads encode a block of rows while one of them first writes the block before it and asks
/// for those that come, so that neither the disk nor a core waits for the other.  Memory is bounded
/// by two blocks, whatever the model's size; source pages are given back as soon as they are read.
package struct Packer {
  private let checkpoint: Checkpoint
  private let plan: PackPlan
  private let importance: [TensorKey: [Float]]
  private let compute: Compute

  // Of the source: a disk that also writes what is packed takes its time to read.
  private static let bytesAhead = 64 << 20

  /// - Parameter importance: per tensor, what the squared error in each input column counts in the
  ///   search for scales; all columns count the same in a tensor that is not named.
  package init(
    _ checkpoint: Checkpoint, plan: PackPlan, importance: [TensorKey: [Float]] = [:],
    compute: Compute
  ) {
    self.checkpoint = checkpoint
    self.plan = plan
    self.importance = importance
    self.compute = compute
  }

  /// Writes every tensor in the writer's order, but for those that an earlier run has finished.
  ///
  /// - Parameter progress: told after each tensor: share of the source bytes done, 0...1, and whether
  ///   an earlier run did it.
  /// - Returns: how far the encoded tensors lie from their source.
  /// - Throws: `InputError` naming the tensor and row of a value that is not finite.
  @discardableResult
  package func write(
    to writer: VTWMWriter, progress: (_ share: Double, _ isStart: Bool) throws -> Void
  ) throws -> PackErrors {
    var output = PackOutput(writer, checkpoint, plan)
    if output.share > 0 { try progress(output.share, true) }
    let blocks = writer.order.dropFirst(writer.finished.count).flatMap(blocks)
    var coming = blocks[...], comingBytes = 0
    var encoded: (block: PackBlock, panels: [PackedPanel])?
    for block in blocks {
      let panels = try encode(block) { () throws(InputError) in
        while comingBytes < Self.bytesAhead, let next = coming.popFirst() {
          next.willNeed()
          comingBytes += next.sourceByteCount
        }
        if let encoded { try output.write(encoded.block, encoded.panels) }
      }
      block.drop()
      comingBytes -= block.sourceByteCount
      if encoded?.block.isLast == true { try progress(output.share, false) }
      encoded = (block, panels)
    }
    if let encoded {
      try output.write(encoded.block, encoded.panels)
      try progress(output.share, false)
    }
    return output.errors
  }

  private func blocks(of key: TensorKey) -> [PackBlock] {
    guard let source = checkpoint.tensors[key], let encoding = plan.encodings[key] else {
      preconditionFailure("a checkpoint has every tensor of its configuration, but not \(key)")
    }
    return PackBlock.blocks(of: key, source, encoding)
  }

  /// The panels of `block`, each on its own; `meanwhile` runs at the same time, on any thread.
  private func encode(
    _ block: PackBlock, meanwhile: () throws(InputError) -> Void
  ) throws(InputError) -> [PackedPanel] {
    var failure: InputError?
    var panels = [Result<PackedPanel, InputError>?](repeating: nil, count: block.panelCount)
    unsafe panels.withUnsafeMutableBufferPointer { panels in
      compute.parallel(1 + block.panelCount) { item in
        do throws(InputError) {
          if item == 0 {
            try meanwhile()
          } else {
            unsafe panels[item - 1] = .success(
              try block.encodePanel(item - 1, importance: importance[block.key]))
          }
        } catch {
          if item == 0 {
            failure = error
          } else {
            unsafe panels[item - 1] = .failure(error)
          }
        }
      }
    }
    if let failure { throw failure }
    var result: [PackedPanel] = []
    for case let panel? in panels { result.append(try panel.get()) }
    return result
  }
}
