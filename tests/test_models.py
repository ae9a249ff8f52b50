"""The builders: sizes as published, logits out, weights fixed by a seed; by name or from a file."""

import numpy as np
import pytest

from kdlab import models
from kdlab.backend import keras
from kdlab.datasets.dataset import Dataset, Split
from kdlab.model_files import fingerprint


def dataset(shape, classes=3):
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    split = Split(x, np.arange(4, dtype=np.int32) % classes)
    return Dataset(split, split, split, tuple(map(str, range(classes))), "noise", "none")


def small_base(weights, input_shape, name, **keywords):
    """In EfficientNet's place, where its size does not matter."""
    layers = keras.layers
    body = [layers.Conv2D(4, 3, strides=8), layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input(input_shape), *body], name=name)


@pytest.fixture
def offline(monkeypatch):
    """Keras as it is without a network."""

    def builder(weights, **keywords):
        model = small_base(weights, **keywords)
        if weights:
            raise Exception("URL fetch failure")
        return model

    monkeypatch.setattr(keras.applications, "EfficientNetB0", builder)


def test_the_published_numbers_of_parameters():
    assert models.cnn().count_params() == 3_378_970
    assert models.mlp((28, 28, 1), (512,), 26).count_params() == 415_258
    assert models.small_cnn((128, 128, 3), 2).count_params() == 102_122 <= 295_690
    assert models.efficientnet(weights=None).count_params() == 4_052_133


@pytest.mark.parametrize("builder", [models.cnn, models.small_cnn, models.mlp])
def test_a_seed_fixes_the_weights(builder):
    first, again, other = (builder((12, 12, 1), classes=3, seed=seed) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    kernels = [weight for weight in first.get_weights() if weight.ndim == 2]
    assert all(abs(kernel).max() > 0 for kernel in kernels)


def test_no_two_layers_start_from_one_seed():
    layers = [layer for layer in models.small_cnn(seed=0).layers if hasattr(layer, "kernel_initializer")]
    assert len({layer.kernel_initializer.seed for layer in layers}) == len(layers) == 5


def test_a_flattened_image_and_the_image_are_the_same_to_an_mlp():
    of_images, of_features = models.mlp((3, 4, 2), (5,), 3, seed=1), models.mlp(24, (5,), 3, seed=1)
    x = np.random.default_rng(0).random((6, 3, 4, 2), np.float32)
    np.testing.assert_allclose(of_images(x), of_features(x.reshape(6, 24)), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (28, 28)])
def test_small_cnn_takes_images_of_any_size_and_gives_logits(size):
    x = np.random.default_rng(0).random((4, *size, 2), np.float32)
    model = models.small_cnn((*size, 2), 5, seed=0)
    logits = model(x, training=True).numpy()
    assert logits.shape == (4, 5)
    assert (logits < 0).any()
    assert model.count_params() == models.small_cnn((63, 200, 2), 5).count_params()


@pytest.mark.parametrize(("size", "seen"), [(28, [28, 14, 7, 4]), (63, [63, 32, 16, 8]), (128, [32, 16, 8, 4])])
def test_small_cnn_sees_larger_images_in_patches(size, seen):
    model = models.small_cnn((size, size, 1), 2, seed=0)
    assert [model.get_layer(f"block{k}").output.shape[1] for k in (1, 2, 3, 4)] == seen
    x = np.zeros((2, size, size, 1), np.float32)
    x[1, 1::4, 1::4] = 1  # Every pixel counts, those between the patches' centres too.
    first, second = model(x).numpy()
    assert abs(first - second).max() > 1e-4


def test_efficientnet_without_a_network_starts_from_scratch_and_says_so(offline):
    model = models.efficientnet((32, 32, 3), 2, seed=3)
    assert model.note.startswith("EfficientNetB0 starts from scratch: the ImageNet weights could not be had (URL fetch")
    plain = models.efficientnet((32, 32, 3), 2, weights=None, seed=3)
    assert plain.note == "EfficientNetB0 starts from scratch"
    assert fingerprint(plain) == fingerprint(model)


@pytest.mark.usefixtures("offline")
def test_efficientnet_gets_the_pixels_that_keras_expects():
    rng = np.random.default_rng(0)
    x = rng.random((2, 32, 32, 3), np.float32)
    model = models.efficientnet((32, 32, 3), 2, weights=None, seed=0)
    base, head = model.get_layer("efficientnetb0"), model.layers[-1]
    np.testing.assert_allclose(model(x), head(base(255 * x)), rtol=1e-4, atol=1e-6)
    grey = models.efficientnet((32, 32, 1), 2, weights=None, seed=0)
    np.testing.assert_allclose(grey(x[..., :1]), model(np.repeat(x[..., :1], 3, axis=3)), rtol=1e-4, atol=1e-6)


def test_imagenet_weights_are_taken_where_they_can_be_had(monkeypatch):
    asked = []

    def builder(weights, **keywords):
        asked.append(weights)
        return small_base(weights, **keywords)

    monkeypatch.setattr(keras.applications, "EfficientNetB0", builder)
    assert models.efficientnet((32, 32, 3), 2).note == "EfficientNetB0 starts from ImageNet weights"
    assert asked == ["imagenet"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.cnn((9, 28, 1)), "cnn needs images of at least 10×10, got 9×28"),
        (lambda: models.efficientnet((31, 40, 3)), "at least 32×32 with 1 or 3 channels, got 31×40 with 3"),
        (lambda: models.efficientnet((40, 40, 2)), "with 1 or 3 channels, got 40×40 with 2"),
        (lambda: models.mlp((4, 0)), "must be whole numbers of at least 1, got"),
        (lambda: models.mlp(64, (1.5,)), "must be whole numbers of at least 1, got"),
    ],
)
def test_sizes_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", models.NAMES)
def test_every_name_builds_a_model_for_the_data(name, offline):
    data = dataset((32, 32, 1))
    model = models.build(name, data, seed=1)
    assert model(data.train.x).shape == (4, 3)
    assert bool(model.note) == (name == "efficientnet")
    assert fingerprint(model) == fingerprint(models.build(name, data, seed=1))


def test_a_saved_model(tmp_path):
    data, path = dataset((6,)), tmp_path / "a.keras"
    model = models.mlp(6, (4,), 3, seed=5)
    model.save(path)
    for given in (path, str(path)):
        built = models.build(given, data)
        assert built.note == ""
        np.testing.assert_array_equal(built(data.train.x), model(data.train.x))


def test_what_cannot_be_built(tmp_path):
    with pytest.raises(
        ValueError, match=r"one of cnn, mlp, small-cnn, efficientnet or a file .* \.keras, got 'resnet'"
    ):
        models.build("resnet", dataset((6,)))
    with pytest.raises(
        ValueError, match=r"cnn needs images, but the data's samples have shape \(6,\): mlp takes those"
    ):
        models.build("cnn", dataset((6,)))
    softmax = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    softmax.save(tmp_path / "softmax.keras")
    built, x = (
        models.build(tmp_path / "softmax.keras", dataset((6,))),
        np.random.default_rng(0).random((5, 6), np.float32),
    )
    assert "The softmax at the end of" in built.note
    np.testing.assert_allclose(keras.ops.softmax(built(x)), softmax(x), rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"softmax\.keras returns outputs of shape \(3,\), but the data have 4 classes"
    ):
        models.build(tmp_path / "softmax.keras", dataset((6,), classes=4))
