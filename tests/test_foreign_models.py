"""Models made elsewhere: the pixels that their first layers speak of, a softmax at their end, what is likely at chance."""

import functools

import keras
import numpy as np
import pytest

from kdlab.datasets.dataset import Split
from kdlab.foreign_models import Inputs, adapt, explain_chance, guess_pixel_range, take_softmax_off
from kdlab.models import efficientnet

layers = keras.layers
LEVELS = np.array([0.1, 0.5, 0.9])  # brightness of the three classes


def images(number=90, seed=0):
    """Images 6×6×3 whose brightness, most of it red, is that of their class."""
    rng = np.random.default_rng(seed)
    y = (np.arange(number) % 3).astype(np.int32)
    x = LEVELS[y][:, None, None, None] + rng.normal(0, 0.03, (number, 6, 6, 3))
    return Split((x * [1.0, 0.6, 0.2]).clip(0, 1).astype(np.float32), y)


def knowing(*before, activation=None, order=(0, 1, 2), after=()):
    """A model that tells these classes by the red of what ``before`` makes of a sample."""
    levels = LEVELS[list(order)]
    head = layers.Dense(3, activation=activation)
    model = keras.Sequential([keras.Input((6, 6, 3)), *before, layers.GlobalAveragePooling2D(), head, *after])
    red = np.array([[1.0], [0.0], [0.0]])
    head.set_weights([red * 2 * levels * 50, -(levels**2) * 50])
    return model


def normalization(scale):
    return layers.Normalization(mean=[0.3 * scale] * 3, variance=[(0.2 * scale) ** 2] * 3)


def tutorial_functional():
    inputs = keras.Input((6, 6, 3))
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])(inputs)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(x))))


def nested(first):
    inner = keras.Sequential([keras.Input((6, 6, 3)), first, layers.Conv2D(2, 3), layers.Flatten()])
    inputs = keras.Input((6, 6, 3))
    return keras.Model(inputs, layers.Dense(3)(inner(inputs)))


def attention(*before):
    """The first layer with weights takes several tensors, of which none says which pixels they come from."""
    x = inputs = keras.Input((6, 6, 3))
    for layer in before:
        x = layer(x)
    x = layers.Reshape((36, 3))(x)
    x = layers.MultiHeadAttention(1, 2)(x, x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


@functools.cache
def our_efficientnet():
    return efficientnet((32, 32, 3), 2, weights=None)


def before_a_backbone(first):
    """As in Keras's guide to transfer learning."""
    backbone = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, layers.Dense(2)(backbone(first(inputs), training=False)))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: knowing(layers.Rescaling(1 / 255)), (0, 255)),
        (attention, None),
        (lambda: attention(layers.Rescaling(1 / 255)), (0, 255)),
        (lambda: knowing(layers.Lambda(keras.ops.zeros_like)), None),
        (lambda: knowing(layers.Rescaling(1 / 127.5, offset=-1)), (0, 255)),
        (lambda: knowing(layers.Rescaling(2.0, offset=-1)), (0, 1)),
        (lambda: knowing(layers.Rescaling(255.0), layers.Rescaling(1 / 255)), None),
        (lambda: knowing(normalization(255)), (0, 255)),
        (lambda: knowing(normalization(1)), (0, 1)),
        (lambda: knowing(), None),
        (lambda: nested(layers.Rescaling(1 / 255)), (0, 255)),
        (lambda: nested(layers.Identity()), None),
        (lambda: before_a_backbone(layers.Rescaling(1 / 127.5, offset=-1)), (0, 255)),
        (lambda: before_a_backbone(layers.Identity()), None),
        (lambda: knowing(layers.Rescaling(1.0, offset=[-104, -117, -124])), (0, 255)),
        (lambda: adapt(knowing(layers.Rescaling(1.0, offset=[-104, -117, -124])), Inputs((0.0, 255.0))), (0, 1)),
        (tutorial_functional, (0, 255)),
        (our_efficientnet, None),
        (lambda: our_efficientnet().get_layer("efficientnetb0"), (0, 255)),  # as Keras makes it
    ],
)
def test_the_range_of_pixels_that_a_model_speaks_of(make, found):
    assert guess_pixel_range(make()) == found


@pytest.mark.parametrize(
    "make",
    [
        lambda: knowing(activation="softmax"),
        lambda: knowing(after=[layers.Softmax()]),
        lambda: knowing(after=[layers.Activation("softmax")]),
        lambda: keras.Sequential([keras.Input((6, 6, 3)), knowing(activation="softmax")]),
        lambda: keras.Model(m.inputs[0], m(m.inputs[0])) if (m := knowing(activation="softmax")) else None,
    ],
)
def test_a_softmax_at_the_end_is_taken_off(make):
    x, plain = images().x, knowing()
    model = make()
    np.testing.assert_allclose(model(x), keras.ops.softmax(plain(x)), atol=1e-5)
    bare, had_softmax = take_softmax_off(model)
    assert had_softmax
    np.testing.assert_allclose(bare(x), plain(x), atol=1e-4)
    assert take_softmax_off(plain) == (plain, False)


def two_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, layers.Softmax()(layers.Dense(3)(layers.Add()(inputs))))


def two_heads():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [layers.Softmax()(layers.Dense(3)(inputs)) for _ in range(2)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_heads, "teacher t must have one input and one output, got 1 and 2"),
        (two_inputs, "teacher t must have one input and one output, got 2 and 1"),
        (lambda: keras.Sequential([layers.Dense(3), layers.Softmax()]), "teacher t must be built: call it on samples"),
    ],
)
def test_a_softmax_is_taken_off_no_model_of_several_inputs_or_outputs(make, message):
    with pytest.raises(ValueError, match=message):
        take_softmax_off(make(), "teacher t")


@pytest.mark.parametrize("units", [1, 3])
def test_a_sigmoid_at_the_end_is_refused_in_words(units):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(units, activation="sigmoid")])
    with pytest.raises(ValueError, match=r"teacher t ends in a sigmoid, .* Dense\(2\), .*from_logits=True\)"):
        take_softmax_off(model, "teacher t")


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (lambda: knowing(layers.Rescaling(1 / 255)), Inputs((0.0, 255.0))),
        (lambda: knowing(layers.Rescaling(0.5, offset=0.5)), Inputs((-1.0, 1.0))),
        (lambda: knowing(order=(2, 0, 1)), Inputs(classes=(1, 2, 0))),
        (lambda: knowing(layers.Rescaling(1 / 255), order=(1, 0, 2)), Inputs((0.0, 255.0), classes=(1, 0, 2))),
    ],
)
def test_an_adapted_model_knows_the_classes_and_what_it_wants_is_found_by_trying(model, inputs):
    split = images()
    adapted = adapt(model(), inputs)
    assert (np.argmax(adapted(split.x), axis=1) == split.y).all()
    assert explain_chance(model(), Inputs(), ("dark", "mid", "bright"), split) == (inputs, 1.0)


def test_an_adapted_model_can_be_saved(tmp_path):
    x = images().x
    adapted = adapt(knowing(layers.Rescaling(1 / 255)), Inputs((0.0, 255.0), bgr=True, classes=(1, 2, 0)))
    adapted.save(tmp_path / "adapted.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "adapted.keras")(x), adapted(x), atol=1e-4)


def test_colours_in_the_other_order_are_found_and_nothing_where_nothing_helps():
    split = images()
    blue_first = adapt(knowing(), Inputs(bgr=True))
    assert explain_chance(blue_first, Inputs(), ("a", "b", "c"), split) == (Inputs(bgr=True), 1.0)
    constant = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(3, kernel_initializer="zeros")])
    assert explain_chance(constant, Inputs(), ("a", "b", "c"), split) is None
