"""Grad-CAM: which places of an image speak for a class (Selvaraju et al. 2017), of any Keras model with maps."""

import numpy as np

from .backend import keras, tf
from .checks import check_count, check_labels
from .features.taps import describe_layers, layer_shapes, tap
from .training_checks import check_not_probabilities

_BATCH = 4  # the pass keeps all the maps on the way: of EfficientNetB0 at 224 pixels, 150 MB an image


def grad_cam(model, x, layer=None, class_index=None):
    """Return where each image speaks for a class: float32 (N, height, width) in [0, 1], of the images' size.

    The maps of a layer are averaged, each weighed by the mean over its places of the gradient of the class's logit, and
    what is negative is left out (Selvaraju et al. 2017, equations 1 and 2). The result is resized to the image (bilinear)
    and divided by its largest value, image by image: colours of two images cannot be compared. It is 0 everywhere where
    nothing speaks for the class.

    ``model`` is Functional or Sequential, with one input (N, height, width, channels) and logits (N, classes); it
    is not changed. ``layer`` is the name of one of its own layers that return maps, by default the last one
    (``map_layers``). ``class_index`` is a class, or one for each image (N,); by default the class that the model names.

    Raises ValueError for a model that ends in softmax, and, naming the layers there are, for a layer that returns no maps;
    for images or classes that do not fit.
    """
    there = map_layers(model)
    if layer is None:
        if not there:
            raise ValueError(
                "model must have a layer that returns maps (height, width, channels) of more than one place; "
                f"its layers are {describe_layers(model)}"
            )
        layer = there[-1]
    tapped = tap(model, [layer])
    if layer not in there:
        raise ValueError(
            f"model layer {layer!r} does not return maps (height, width, channels) of more than one place; "
            f"its layers are {describe_layers(model)}"
        )
    x = _check_images(model, x)
    chosen = _check_class(class_index, len(x), model)
    maps = [
        _maps(tapped, layer, x[start : start + _BATCH], None if chosen is None else chosen[start : start + _BATCH])
        for start in range(0, len(x), _BATCH)
    ]
    maps = tf.image.resize(np.concatenate(maps)[..., None], x.shape[1:3], method="bilinear").numpy()[..., 0]
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


def map_layers(model):
    """Return the names of the layers that ``grad_cam`` can look at, in their order: those that return maps.

    These are (height, width, channels) of more than one place. Raises ValueError as ``features.taps.tap`` does.
    """
    return [name for name, shape in layer_shapes(model).items() if len(shape) == 3 and shape[:2] != (1, 1)]


def _maps(tapped, layer, x, chosen):
    """Return Grad-CAM of one batch before it is resized, float32 (N, h, w)."""
    with tf.GradientTape() as tape:
        images = tf.convert_to_tensor(x)
        tape.watch(images)  # So that all on the way from the maps to the logits is recorded, also where nothing trains.
        logits, features = tapped(keras.tree.map_structure(lambda _: images, tapped.input), training=False)
        check_not_probabilities(logits, "model")
        if chosen is None:
            chosen = np.argmax(logits, axis=1)
        total = tf.reduce_sum(tf.gather(logits, chosen, axis=1, batch_dims=1))
    features = features[layer]
    gradient = tape.gradient(total, features, unconnected_gradients="zero")
    features, gradient = np.asarray(features, np.float32), np.asarray(gradient, np.float32)
    weights = gradient.mean(axis=(1, 2))
    return np.maximum(np.einsum("nhwc,nc->nhw", features, weights), 0)


def _check_images(model, x):
    """Return images as float32 (N, height, width, channels), or raise ValueError."""
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise ValueError(
            "model must have one input and logits (samples, classes) as its one output, "
            f"got inputs {[tuple(t.shape) for t in model.inputs]} and outputs {[tuple(t.shape) for t in model.outputs]}"
        )
    takes = tuple(model.inputs[0].shape[1:])
    x = np.asarray(x)
    fits = x.ndim == 4 and len(takes) == 3 and all(a in (None, b) for a, b in zip(takes, x.shape[1:], strict=True))
    if not fits or not x.size or x.dtype.kind not in "iuf":
        raise ValueError(
            f"x must be at least one image, real numbers of shape {(None, *takes)} as the model takes them, "
            f"got {x.dtype} of shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"x must be finite, got {np.sum(~np.isfinite(x))} value(s) that are not")
    return x.astype(np.float32)


def _check_class(class_index, samples, model):
    """Return the class of each image, (N,), or None for those that the model names."""
    classes = model.outputs[0].shape[1]
    if class_index is None:
        return None
    if np.ndim(class_index):
        return check_labels(class_index, classes, samples, "class_index")
    return np.full(samples, check_count(class_index, "class_index", 0, classes - 1))
