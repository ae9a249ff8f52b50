"""Against finite differences of a model written out in numpy, class activation maps, and planted bright patches."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from scipy.signal import correlate

from kdlab.grad_cam import grad_cam, map_layers

X = np.random.default_rng(0).random((5, 12, 9, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Two convolutions and a dense network that is not linear: no closed form for its gradient."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((12, 9, 2), name="image"),
            layers.Conv2D(4, 3, strides=2, activation="tanh", name="first", bias_initializer="random_normal"),
            layers.Dropout(0.5, name="drop"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(3, 2, activation="tanh", name="second"),
            layers.Flatten(name="flat"),
            layers.Dense(6, activation="tanh", name="hidden"),
            layers.Dense(3, name="logits"),
        ]
    )


def convolved(maps, layer, stride=1):
    kernel, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
    out = [
        [sum(correlate(image[..., c], kernel[:, :, c, k], "valid") for c in range(kernel.shape[2])) for k in range(kernel.shape[3])]
        for image in maps
    ]  # fmt: skip
    return np.moveaxis(np.array(out), 1, -1)[:, ::stride, ::stride] + bias


def first_maps(model, x):
    return np.tanh(convolved(x.astype(np.float64), model.get_layer("first"), 2))


def second_maps(model, maps):
    mean_and_variance = model.get_layer("norm").get_weights()[2:]
    normed = (maps - mean_and_variance[0]) / np.sqrt(mean_and_variance[1] + 1e-3)
    return np.tanh(convolved(normed, model.get_layer("second")))


def logits_of(model, maps):
    hidden, last = model.get_layer("hidden").get_weights(), model.get_layer("logits").get_weights()
    return np.tanh(maps.reshape(len(maps), -1).astype(np.float64) @ hidden[0] + hidden[1]) @ last[0] + last[1]


def resized(maps, height, width):
    """Bilinear, the middles of the pixels as places, the edge beyond the last."""
    for axis, size in ((1, height), (2, width)):
        old = np.arange(maps.shape[axis]) + 0.5
        new = (np.arange(size) + 0.5) * maps.shape[axis] / size
        maps = np.apply_along_axis(lambda line, new=new, old=old: np.interp(new, old, line), axis, maps)
    return maps


def by_differences(maps, tail, chosen, step=1e-5):
    """Grad-CAM of maps (N, h, w, c) under a function of them, its gradient by central differences of the channels."""
    rows, weights = np.arange(len(maps)), []
    for channel in range(maps.shape[3]):
        moved = step * (np.arange(maps.shape[3]) == channel)
        ends = [tail(maps + sign * moved)[rows, chosen] for sign in (1, -1)]
        # The whole channel moved at once: the sum of the gradient over its places.
        weights.append((ends[0] - ends[1]) / (2 * step) / (maps.shape[1] * maps.shape[2]))
    return np.maximum((maps * np.array(weights).T[:, None, None]).sum(axis=3), 0)


@pytest.mark.parametrize("class_index", [None, 0, 2, (2, 0, 1, 1, 0)])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_it_equals_finite_differences_of_the_logit(model, layer, class_index):
    first = first_maps(model, X)
    logits = logits_of(model, second_maps(model, first))
    np.testing.assert_allclose(model(X), logits, atol=1e-5)  # the oracle is the model
    chosen = logits.argmax(axis=1) if class_index is None else np.broadcast_to(class_index, len(X))
    if layer == "first":
        small = by_differences(first, lambda maps: logits_of(model, second_maps(model, maps)), chosen)
    else:
        small = by_differences(second_maps(model, first), lambda maps: logits_of(model, maps), chosen)
    expected = resized(small, 12, 9)
    largest = expected.max(axis=(1, 2), keepdims=True)
    expected = np.divide(expected, largest, out=np.zeros_like(expected), where=largest > 0)
    assert (largest > 0).sum() >= 2
    got = grad_cam(model, X, layer, class_index)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_by_default_it_looks_at_the_last_maps_for_the_class_that_is_named(model):
    assert map_layers(model) == ["first", "drop", "norm", "second"]
    named = np.argmax(model(X), axis=1)
    np.testing.assert_array_equal(grad_cam(model, X), grad_cam(model, X, "second", named))
    np.testing.assert_array_equal(grad_cam(model, X, class_index=1), grad_cam(model, X, "second", np.ones(5, int)))


def pooled(weights, kernel=None, size=24):
    """A channel of what is bright, a channel of what is dark, their means, and a given last layer."""
    inputs = keras.Input((size, size, 1))
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="maps")(inputs)
    x = layers.AveragePooling2D(4, name="coarse")(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    bright = np.full((3, 3, 1, 1), 1 / 9)
    model.get_layer("maps").set_weights([np.concatenate([bright, -bright], axis=3), np.array([-0.5, 0.5])])
    model.get_layer("logits").set_weights([np.asarray(weights, np.float64), np.zeros(2)])
    return model


def test_before_a_global_mean_it_is_the_class_activation_map():
    """The weights of the last layer are those of the maps (Zhou et al. 2016; Selvaraju et al., section 3.1)."""
    model, x = pooled([[2.0, -1.0], [-0.5, 1.5]]), np.random.default_rng(2).random((4, 24, 24, 1)).astype(np.float32)
    maps = np.asarray(keras.Model(model.input, model.get_layer("coarse").output)(x))
    for k in range(2):
        expected = resized(np.maximum(maps @ model.get_layer("logits").get_weights()[0][:, k], 0), 24, 24)
        largest = expected.max(axis=(1, 2), keepdims=True)
        assert (largest > 0).all()
        np.testing.assert_allclose(grad_cam(model, x, "coarse", k), expected / largest, atol=1e-5)


@pytest.mark.parametrize("corner", [(2, 2), (2, 15), (14, 3), (13, 16), (8, 9)])
@pytest.mark.parametrize("layer", ["maps", "coarse"])
def test_the_map_moves_with_a_bright_patch(corner, layer):
    model, (top, left) = pooled([[0.0, 3.0], [3.0, 0.0]]), corner
    x = np.full((1, 24, 24, 1), 0.1, np.float32)
    x[:, top : top + 6, left : left + 6] = 1
    bright = grad_cam(model, x, layer, 1)[0]
    rows, columns = np.indices((24, 24))
    centre = [(bright * where).sum() / bright.sum() for where in (rows, columns)]
    np.testing.assert_allclose(centre, [top + 2.5, left + 2.5], atol=1.0)
    assert bright.max() == 1
    assert bright[top : top + 6, left : left + 6].mean() > 0.4
    dark = grad_cam(model, x, layer, 0)[0]
    assert dark[top + 1 : top + 5, left + 1 : left + 5].mean() < 0.3 < np.median(dark)


def test_a_trained_model_looks_at_what_tells_the_classes_apart():
    """Class 1 has a bright patch anywhere, class 0 none; trained for a few steps."""
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)
    corners, y = random.integers(0, 8, (64, 2)), np.arange(64) % 2
    x = random.uniform(0, 0.5, (64, 13, 13, 1)).astype(np.float32)
    for image, (top, left), patch in zip(x, corners, y, strict=True):
        if patch:
            image[top : top + 5, left : left + 5] += 0.5
    model = keras.Sequential(
        [
            keras.Input((13, 13, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=32, epochs=8, verbose=0)
    with_patch = y == 1
    assert np.mean(np.argmax(model(x), axis=1) == y) > 0.9
    maps = grad_cam(model, x[with_patch], class_index=1)
    places = corners[with_patch]
    inside = [m[t : t + 5, k : k + 5].sum() / m.sum() for m, (t, k) in zip(maps, places, strict=True)]
    assert np.median(inside) > 4 * 25 / 169  # four times what a map that sees nothing has there


def test_where_nothing_speaks_for_the_class_it_is_zero():
    model, x = pooled([[-1.0, 1.0], [-1.0, 1.0]]), np.ones((2, 24, 24, 1), np.float32)
    np.testing.assert_array_equal(grad_cam(model, x, class_index=0), np.zeros((2, 24, 24)))
    assert grad_cam(model, x, class_index=1).max() == 1


def test_each_image_has_its_own_map_and_scale_whatever_the_batch(model):
    x = np.random.default_rng(4).random((70, 12, 9, 2)).astype(np.float32)
    classes = np.arange(70) % 3
    whole = grad_cam(model, x, class_index=classes)
    assert whole.shape == (70, 12, 9)
    assert set(np.unique(whole.max(axis=(1, 2)))) <= {0, 1}
    assert whole.min() == 0
    for k in (31, 32, 69):
        alone = grad_cam(model, x[k : k + 1], class_index=int(classes[k]))[0]
        np.testing.assert_allclose(whole[k], alone, atol=1e-5)


def test_the_model_stays_as_it_was(model):
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(X, np.zeros((5, 3)), verbose=0)
    model.get_layer("second").trainable = False
    state = [v for part in (model, model.optimizer) for v in part.variables] + model.non_trainable_variables
    before = [np.array(v) for v in state], model.to_json(), model(X).numpy(), len(model.layers)
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    seeds = [np.array(layer.seed_generator.state) for layer in model.layers if layer.name == "drop"]
    grad_cam(model, X)
    grad_cam(model, X, "drop", 1)
    for variable, value in zip(state, before[0], strict=True):
        np.testing.assert_array_equal(variable, value)
    assert (model.to_json(), len(model.layers)) == (before[1], before[3])
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    np.testing.assert_array_equal(model(X), before[2])
    np.testing.assert_array_equal(model.get_layer("drop").seed_generator.state, seeds[0])
    assert not model.get_layer("second").trainable
    model.get_layer("second").trainable = True


def test_weights_that_do_not_train_have_maps_too():
    model, x = pooled([[0.0, 3.0], [3.0, 0.0]]), np.random.default_rng(5).random((2, 24, 24, 1)).astype(np.float32)
    before = grad_cam(model, x, class_index=1)
    model.trainable = False
    np.testing.assert_array_equal(grad_cam(model, x, class_index=1), before)
    assert before.max() == 1


def test_a_model_inside_a_model_is_looked_at_as_one_layer():
    inner = pooled([[0.0, 3.0], [3.0, 0.0]])
    body = keras.Model(inner.input, inner.get_layer("coarse").output, name="body")
    outer = keras.Sequential([keras.Input((24, 24, 1)), body, layers.GlobalAveragePooling2D(), inner.layers[-1]])
    x = np.random.default_rng(6).random((2, 24, 24, 1)).astype(np.float32)
    assert map_layers(outer) == ["body"]
    np.testing.assert_allclose(grad_cam(outer, x), grad_cam(inner, x), atol=1e-6)


@pytest.mark.parametrize("wrap", [lambda i: [i], lambda i: {"image": i}])
def test_inputs_in_a_list_or_dictionary_are_taken(wrap):
    inner, image = pooled([[0.0, 3.0], [3.0, 0.0]]), keras.Input((24, 24, 1), name="image")
    out = image
    for layer in inner.layers[1:]:
        out = layer(out)
    x = np.random.default_rng(7).random((2, 24, 24, 1)).astype(np.float32)
    np.testing.assert_allclose(
        grad_cam(keras.Model(wrap(image), out), x, "coarse"), grad_cam(inner, x, "coarse"), atol=1e-6
    )


def test_images_of_any_size_where_the_model_takes_them():
    inputs = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 3, strides=2, name="maps")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert grad_cam(model, np.ones((1, 21, 33, 1)), class_index=0).shape == (1, 21, 33)


def softmaxed():
    return keras.Sequential(
        [keras.Input((12, 9, 2)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3, "softmax")]
    )


def flat():
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="one")
    return keras.Sequential(
        [keras.Input((12, 9, 2)), mean, layers.Flatten(name="flat"), layers.Dense(3, name="logits")]
    )


def two_inputs():
    inputs = [keras.Input((12, 9, 2)), keras.Input((12, 9, 2))]
    x = layers.Conv2D(2, 3)(layers.Concatenate()(inputs))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


ARE = "first (5, 4, 4), drop (5, 4, 4), norm (5, 4, 4), second (4, 3, 3), flat (36,), hidden (6,), logits (3,)"
NO_MAPS = "maps (height, width, channels) of more than one place; its layers are"
IMAGES = "x must be at least one image, real numbers"
REFUSED = {
    "misspelt": (None, {"layer": "secnod"}, f"model has no layer 'secnod'; its layers are {ARE}"),
    "input": (None, {"layer": "image"}, f"model layer 'image' is the model's input, and not a feature of it; its layers are {ARE}"),
    "flat": (None, {"layer": "flat"}, f"model layer 'flat' does not return {NO_MAPS} {ARE}"),
    "one place": (flat, {"layer": "one"}, f"model layer 'one' does not return {NO_MAPS} one (1, 1, 2), flat (2,), logits (3,)"),
    "no maps": (flat, {}, f"model must have a layer that returns {NO_MAPS} one (1, 1, 2)"),
    "class": (None, {"class_index": 3}, "class_index must be a whole number from 0 to 2, got 3"),
    "classes": (None, {"class_index": [0, 1, 2, 3, 0]}, "class_index must lie in 0 to 2, got 3"),
    "too few": (None, {"class_index": [0, 1]}, "class_index must have shape (5,)"),
    "one image": (None, {"x": X[0]}, f"{IMAGES} of shape (None, 12, 9, 2) as the model takes them, got float32 of shape (12, 9, 2)"),
    "size": (None, {"x": X[:, :-1]}, "got float32 of shape (5, 11, 9, 2)"),
    "none": (None, {"x": X[:0]}, IMAGES),
    "words": (None, {"x": X.astype(str)}, IMAGES),
    "nan": (None, {"x": X * np.nan}, "x must be finite, got 1080 value(s) that are not"),
    "softmax": (softmaxed, {}, "the model's outputs look like probabilities"),
    "two inputs": (two_inputs, {}, "model must have one input and logits (samples, classes) as its one output"),
    "no model": (lambda: None, {}, "model must be a Functional or Sequential keras.Model for its layers to be tapped, got None"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_with_the_layers_there_are(model, case):
    make, arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        grad_cam(**{"model": make() if make else model, "x": X, **arguments})
