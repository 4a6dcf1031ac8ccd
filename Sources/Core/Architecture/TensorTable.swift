package import TensorCore

/// The tensors of a model by role and layer: the hand-off value between stages.
package struct TensorTable: Sendable {
  private var views: [TensorKey: TensorView] = [:]

  package init() {}

  package init(_ tensors: some Sequence<(TensorKey, TensorView)>) {
    for (key, view) in tensors { views[key] = view }
  }

  package subscript(_ key: TensorKey) -> TensorView? {
    get { views[key] }
    set { views[key] = newValue }
  }

  package subscript(_ role: TensorRole, layer layer: Int? = nil) -> TensorView? {
    views[TensorKey(role, layer: layer)]
  }

  /// All keys in a fixed order.
  package var keys: [TensorKey] { views.keys.sorted() }
}
