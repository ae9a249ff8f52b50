"""Builders of plain ``keras.Model``s that return logits: no softmax at the end, the loss takes care of it."""

import socket
from numbers import Integral
from pathlib import Path

import numpy as np

from .backend import keras
from .foreign_models import Inputs, adapt, guess_pixel_range, take_softmax_off
from .model_files import check_fits, load

NAMES = ("cnn", "mlp", "small-cnn", "efficientnet")
"""The names that ``build`` knows."""

DOWNLOAD_TIMEOUT = 20  # seconds without a byte
# Of batch normalization: ten steps, not Keras's hundred. Small data have few steps in an epoch, and the averages must not
# lag behind the weights.
MOMENTUM = 0.9
CHANNELS = (24, 32, 64, 128)  # of small_cnn


def build(name_or_path, data, seed=0, inputs=None, width=1.0):
    """Return a ``keras.Model`` for ``data``: one of ``NAMES``, new, or one saved in a ``.keras`` file.

    New ones take samples of the shape of ``data.train.x`` and have a logit per class name; ``seed`` fixes their
    initial weights (and becomes Keras's global seed). A file is opened in safe mode, which runs no code of its own.
    ``width`` multiplies the channels of ``small-cnn``, with at least two left: an eighth of them suits a micro:bit.
    A file's model may have been made elsewhere: a softmax at its end is taken off, and it gets the samples as ``inputs``,
    a ``foreign_models.Inputs``, says, or where that is None in the range of pixels that its first layers speak of.

    The model's attribute ``note`` is a sentence that a user should read (ImageNet weights, or why not), or "", and
    ``foreign`` the ``Inputs`` that it gets.

    Raises ValueError for an unknown name, a file that is missing, is no Keras model or holds code, and a model that
    does not fit the data: other samples, other classes, probabilities in place of logits.
    """
    if width != 1 and name_or_path != "small-cnn":
        raise ValueError(f"width is of small-cnn; {name_or_path} has none")
    if name_or_path not in NAMES:
        return _adapted(name_or_path, data, inputs)
    shape, classes = tuple(data.train.x.shape[1:]), len(data.class_names)
    if name_or_path == "mlp":
        model = mlp(shape, (512,), classes, seed=seed)
    elif len(shape) != 3:
        raise ValueError(f"{name_or_path} needs images, but the data's samples have shape {shape}: mlp takes those")
    else:
        builder = {"cnn": cnn, "small-cnn": small_cnn, "efficientnet": efficientnet}[name_or_path]
        sizes = {"channels": tuple(max(2, round(width * c)) for c in CHANNELS)} if name_or_path == "small-cnn" else {}
        model = builder(shape, classes, seed=seed, **sizes)
    model.note, model.foreign = getattr(model, "note", ""), Inputs()
    check_fits(model, data, f"model {name_or_path}")
    return model


def _adapted(path, data, inputs):
    """Return the model of a file as ``build`` does."""
    if Path(path).suffix != ".keras" and not Path(path).exists():
        raise ValueError(f"a model must be one of {', '.join(NAMES)} or a file that ends in .keras, got {str(path)!r}")
    model, had_softmax = take_softmax_off(load(path), f"model {path}")
    check_fits(model, data, f"model {path}")
    notes = [f"The softmax at the end of {path} is taken off."] if had_softmax else []
    found = guess_pixel_range(model)
    inputs = inputs or Inputs(found or (0.0, 1.0))
    if inputs.pixel_range != (0.0, 1.0):
        why = "as its first layers say" if inputs.pixel_range == found else "as asked for"
        notes.append("{} gets pixels from {:g} to {:g}, {}.".format(path, *inputs.pixel_range, why))
    model = adapt(model, inputs)
    model.note, model.foreign = " ".join(notes), inputs
    return model


def mlp(features=64, hidden=(16,), classes=10, dropout=0.0, seed=None, name="mlp"):
    """Return a dense ``keras.Model``, (N, features) → logits (N, classes), with ReLU between the layers.

    ``features`` may be the shape of an image: it is flattened; ``mlp((28, 28, 1), (512,), 26)`` is the EMNIST
    tutorial's student, 415,258 parameters. ``hidden`` gives the units of each hidden layer, ``dropout`` the rate
    after each of them; ``seed`` fixes the initial weights. The layers are named "hidden_1", "hidden_2", … and
    "logits". Raises ValueError for sizes below 1.
    """
    shape = (features,) if isinstance(features, (Integral, float)) else tuple(features)
    sizes = (*shape, *hidden, classes)
    if any(int(size) != size or size < 1 for size in sizes):
        raise ValueError(f"features, hidden and classes must be whole numbers of at least 1, got {sizes}")
    layers = [keras.Input(shape)]
    if len(shape) > 1:
        layers.append(keras.layers.Flatten())
    # One seed for all kernels, where the other builders take one for each: the logits that are shipped begin so.
    initializer = keras.initializers.GlorotUniform
    for k, units in enumerate(hidden, 1):
        initial = initializer(seed)
        layers.append(keras.layers.Dense(units, activation="relu", kernel_initializer=initial, name=f"hidden_{k}"))
        if dropout:
            layers.append(keras.layers.Dropout(dropout, seed=seed))
    layers.append(keras.layers.Dense(classes, kernel_initializer=initializer(seed), name="logits"))
    return keras.Sequential(layers, name=name)


def cnn(input_shape=(28, 28, 1), classes=26, seed=None, name="cnn"):
    """Return the EMNIST tutorial's CNN, (N, height, width, channels) → logits (N, classes).

    Convolution 64, pooling, convolution 128, pooling, dense 1024: 3,378,970 parameters as it stands.
    ``seed`` fixes the initial weights. Raises ValueError for images smaller than 10×10.
    """
    if min(input_shape[:2]) < 10:
        raise ValueError(f"cnn needs images of at least 10×10, got {input_shape[0]}×{input_shape[1]}")
    starts, layers = _initializers(seed), keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer=next(starts)),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu", kernel_initializer=next(starts)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", kernel_initializer=next(starts)),
            _logits(classes, starts),
        ],
        name=name,
    )


def small_cnn(input_shape=(128, 128, 3), classes=2, seed=None, name="small_cnn", channels=CHANNELS):
    """Return a small convolutional student for images of any size, (N, height, width, channels) → logits (N, classes).

    Four convolutions, of 24 to 128 ``channels``, and the mean over what is left of the image: 102,122 parameters as it
    stands. The layers "block1", "block2", … return what each convolution comes to, every one at half the height and
    width of that before. ``seed`` fixes the initial weights.
    """
    starts, layers = _initializers(seed), keras.layers
    # Images of 64 pixels a side and more are first seen in overlapping patches, at a quarter of their height and width:
    # at every pixel that convolution would be most of the work.
    patches = min(input_shape[:2]) >= 64
    blocks = []
    for k, width in enumerate(channels, 1):
        kernel, stride = (5, 4) if patches and k == 1 else (3, 1)
        start = next(starts)
        blocks += [
            layers.Conv2D(width, kernel, stride, padding="same", use_bias=False, kernel_initializer=start),
            layers.BatchNormalization(momentum=MOMENTUM),
            layers.ReLU(name=f"block{k}"),
            layers.MaxPooling2D(padding="same"),
        ]
    head = [layers.GlobalAveragePooling2D(), _logits(classes, starts)]
    return keras.Sequential([keras.Input(input_shape), *blocks[:-1], *head], name=name)


def efficientnet(input_shape=(224, 224, 3), classes=2, weights="imagenet", seed=None, name="efficientnet"):
    """Return EfficientNetB0 with a dense head, (N, height, width, 1 or 3) → logits (N, classes), for x in [0, 1].

    4,052,133 parameters for two classes (Tan & Le 2019, *EfficientNet*). ``weights`` is "imagenet" (downloaded and
    kept by Keras; where that fails, from scratch) or None; the model's attribute ``note`` says which it came
    to. ``seed`` fixes the other initial weights and becomes Keras's global seed. Grey images become three channels.
    Raises ValueError for images smaller than 32×32 and other numbers of channels.
    """
    height, width, channels = input_shape
    if min(height, width) < 32 or channels not in (1, 3):
        raise ValueError(
            f"efficientnet needs images of at least 32×32 with 1 or 3 channels, got {height}×{width} with {channels}"
        )
    base, note = _efficientnet_base((height, width, 3), weights, seed)
    inputs = keras.Input(input_shape)
    x = inputs if channels == 3 else keras.layers.Concatenate()([inputs] * 3)
    x = keras.layers.Rescaling(255.0)(x)  # Keras's own scales and normalizes pixels from 0 to 255.
    outputs = _logits(classes, _initializers(seed))(base(x))
    model = keras.Model(inputs, outputs, name=name)
    model.note = note
    return model


def _efficientnet_base(shape, weights, seed):
    """Return EfficientNetB0 with neither top nor classes and a sentence on its weights."""

    def base(weights):
        if seed is not None:
            keras.utils.set_random_seed(seed)
        model = keras.applications.EfficientNetB0(
            include_top=False, weights=weights, input_shape=shape, pooling="avg", name="efficientnetb0"
        )
        if weights is None:
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = MOMENTUM
        return model

    if weights is None:
        return base(None), "EfficientNetB0 starts from scratch"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return base(weights), "EfficientNetB0 starts from ImageNet weights"
    except ValueError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a download fails.
        return base(None), (
            f"EfficientNetB0 starts from scratch: the ImageNet weights could not be had ({error}); "
            "their place is ~/.keras/models"
        )
    finally:
        socket.setdefaulttimeout(timeout)


def _initializers(seed):
    """Yield Glorot initializers with a seed each, so that equal layers do not start equal; None leaves it to Keras."""
    states = np.random.SeedSequence(seed)
    while True:
        own = int(states.spawn(1)[0].generate_state(1)[0]) >> 1
        yield keras.initializers.GlorotUniform(None if seed is None else own)


def _logits(classes, initializers):
    return keras.layers.Dense(classes, kernel_initializer=next(initializers), name="logits")
