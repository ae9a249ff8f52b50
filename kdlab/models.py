"""Builders of plain ``keras.Model``s that return logits: no softmax at the end, the loss takes care of it."""

from .backend import keras

__all__ = ["mlp"]


def mlp(features=64, hidden=(16,), classes=10, dropout=0.0, seed=None, name="mlp"):
    """Return a dense ``keras.Model``, (N, features) → logits (N, classes), with ReLU between the layers.

    ``hidden`` gives the units of each hidden layer, ``dropout`` the rate after each of them; ``seed`` fixes the
    initial weights. Raises ValueError for sizes below 1.
    """
    sizes = (features, *hidden, classes)
    if any(int(size) != size or size < 1 for size in sizes):
        raise ValueError(f"features, hidden and classes must be whole numbers of at least 1, got {sizes}")
    seeds = keras.random.SeedGenerator(seed)
    layers = [keras.Input((features,))]
    for units in hidden:
        layers.append(keras.layers.Dense(units, activation="relu", kernel_initializer=_initializer(seeds, seed)))
        if dropout:
            layers.append(keras.layers.Dropout(dropout, seed=seed))
    layers.append(keras.layers.Dense(classes, kernel_initializer=_initializer(seeds, seed), name="logits"))
    return keras.Sequential(layers, name=name)


def _initializer(seeds, seed):
    """Return a Glorot initializer with a seed of its own, so that equal layers do not start equal."""
    return keras.initializers.GlorotUniform(None if seed is None else int(seeds.next()[0]))
