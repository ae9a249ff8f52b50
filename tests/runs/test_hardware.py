"""Several devices only where there are some, and half the precision only where the hardware has it."""

import numpy as np
import pytest

from kdlab.backend import keras
from kdlab.models import mlp
from kdlab.runs.hardware import choose_policy, choose_strategy, mixed_precision


@pytest.mark.parametrize(
    ("wanted", "capabilities", "policy"),
    [
        ("off", [(9, 0)], "float32"),
        ("auto", [], "float32"),
        ("auto", [(6, 1)], "float32"),
        ("auto", [(7, 0)], "mixed_float16"),
        ("auto", [(9, 0), (7, 5)], "mixed_float16"),
        ("auto", [(8, 0), (9, 0)], "mixed_bfloat16"),
        ("auto", [(9, 0), (0, 0)], "float32"),  # a GPU that does not tell
        ("on", [], "mixed_bfloat16"),
        ("on", [(6, 1)], "mixed_float16"),
        ("on", [(8, 6)], "mixed_bfloat16"),
    ],
)
def test_the_precision_that_the_gpus_are_made_for(wanted, capabilities, policy):
    assert choose_policy(wanted, capabilities) == policy


def test_one_device_needs_no_strategy():
    assert choose_strategy([]) is None
    assert choose_strategy(["GPU:0"]) is None


def test_layers_have_their_own_precision_back_also_after_an_error():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float64")])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU(), keras.layers.Dense(2)])

    def precisions():
        return [layer.compute_dtype for layer in (*inner.layers, *model.layers[1:])]

    def fail():
        with mixed_precision(model, "mixed_bfloat16"):
            assert precisions() == ["bfloat16", "bfloat16", "float32"]
            assert model(np.ones((1, 4), np.float32)).dtype == "float32"
            raise RuntimeError

    before = precisions()
    with pytest.raises(RuntimeError):
        fail()
    assert precisions() == before == ["float64", "float32", "float32"]
    with mixed_precision(model, "float32"):
        assert precisions() == before


def test_the_loss_is_scaled_for_float16():
    """On a CPU: slow, but the same arithmetic."""
    from kdlab.runs.runs import Settings, _compiled

    class Batches:
        streamed, steps = False, 1

    model = mlp(4, (8,), 3, seed=0)
    x = np.random.default_rng(0).random((8, 4), np.float32)
    y = np.arange(8) % 3
    with mixed_precision(model, "mixed_float16"):
        learner = _compiled(lambda model: model, model, Settings(), "mixed_float16", Batches)
        assert isinstance(learner.optimizer, keras.optimizers.LossScaleOptimizer)
        losses = learner.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {weight.dtype for weight in model.weights} == {"float32"}
