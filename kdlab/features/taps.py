"""Taps: what the layers of a model return beside its output, by layer name, in one forward pass."""

from ..backend import keras


def layer_shapes(model):
    """Return {layer name: shape of a sample's output} of a model's layers that can be tapped, in their order.

    These are all but its inputs, and but those called more than once or with several outputs.
    Raises ValueError as ``tap`` does for the model.
    """
    outputs = _layer_outputs(model)
    return {name: tuple(found[0].shape[1:]) for name, found in outputs.items() if len(found) == 1}


def tap(model, names, role="model"):
    """Return a ``keras.Model`` with ``model``'s inputs that returns (its output, {layer name: that layer's output}).

    It shares the layers, so it trains with ``model``. ``model`` is Functional or Sequential, built, with one
    output; ``names`` are of its own layers, and a model inside it counts as one layer.

    Raises ValueError for another model, and, naming the layers there are, for a name that it does not have, its
    input, a layer that it calls more than once and one with several outputs.
    """
    outputs, tapped = _layer_outputs(model, role), {}
    for name in names:
        found = outputs.get(name)
        if found is None and name in {tensor._keras_history.operation.name for tensor in model.inputs}:
            wrong = f"{role} layer {name!r} is the model's input, and not a feature of it"
        elif found is None:
            wrong = f"{role} has no layer {name!r}"
        elif len(found) != 1:
            wrong = f"{role} layer {name!r} has {len(found)} outputs or calls, and which one is meant cannot be told"
        else:
            tapped[name] = found[0]
            continue
        raise ValueError(f"{wrong}; its layers are {describe_layers(model)}")
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input  # in the structure that it takes
    return keras.Model(inputs, (model.outputs[0], tapped), name=f"tapped_{model.name}")


def describe_layers(model):
    """Return the layers that can be tapped and the shapes of their outputs, for a message."""
    return ", ".join(f"{name} {shape}" for name, shape in layer_shapes(model).items())


def _layer_outputs(model, role="model"):
    """Return {layer name: its symbolic outputs in this model, over all its calls}, inputs left out."""
    if not isinstance(model, keras.Model) or not (isinstance(model, keras.Sequential) or hasattr(model, "operations")):
        raise ValueError(
            f"{role} must be a Functional or Sequential keras.Model for its layers to be tapped, got {model!r}"
        )
    if not model.built or not model.inputs:
        raise ValueError(f"{role} must be built before its layers are tapped: give it a keras.Input")
    # A layer's own `output` is that of its first call, maybe in another model: only the graph knows its calls here.
    graph = keras.Model(model.inputs, model.outputs)
    layers, outputs = {id(layer) for layer in graph.layers}, {}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if id(node.operation) in layers and not node.is_input:
                outputs.setdefault(node.operation.name, []).extend(node.outputs)
    return outputs
