"""Compiled programs are found again by another process, whatever it has computed before."""

import pytest

from kdlab.backend import tf
from kdlab.live.stable_names import with_stable_names

TRAINED = """
import os
os.environ["TF_XLA_FLAGS"] = "--tf_xla_persistent_cache_directory={folder}"
import numpy as np
import tensorflow as tf
import kdlab
from kdlab.datasets.dataset import Dataset, Split

rng = np.random.default_rng(0)
split = Split(rng.uniform(size=(12, 5)).astype("float32"), rng.integers(3, size=12).astype("int32"))
data = Dataset(split, split, split, ("a", "b", "c"), "made here", "none")
features = {{"hidden": rng.normal(size=(12, 4)).astype("float32")}}
trainer = kdlab.LiveTrainer(
    data, kdlab.models.mlp(5, (4,), 3), rng.normal(size=(12, 3)), epochs=2, batch_size=4, teacher_features=features
)
kinds = {{
    "plain": {{}},
    "similarity": {{"feature_alpha": 0.5, "pairs": [("hidden", "hidden_1")], "method": "similarity"}},
}}
for kind in {kinds}:
    if kind == "other":
        tf.function(lambda x: tf.while_loop(lambda x: x < 100.0, lambda x: (2 * x,), (x,)))(tf.ones(()))
    else:
        trainer.train(2.0, 0.5, seeds=2, **kinds[kind])
"""


def test_another_process_finds_the_programs_in_any_order(launch, tmp_path):
    found = []
    for kinds in (["plain", "similarity"], ["other", "similarity", "other", "plain"]):
        process = launch(TRAINED.format(folder=tmp_path, kinds=kinds))
        process.join()
        assert process.exitcode == 0
        found.append({file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()})
    assert len(found[0]) == 2
    assert found[0] == found[1]


def names(function, x, wrapped=None):
    """The names of a ``tf.function`` and of those in it, traced by a call of it or of what is ``wrapped`` around it."""
    (wrapped or function)(x)
    traced = function.get_concrete_function(x)
    inner = traced.graph.as_graph_def().library.function
    return {traced.function_def.signature.name, *(one.signature.name for one in inner)}


def doubled():
    return tf.function(lambda x: tf.while_loop(lambda x: tf.reduce_sum(x) < 100, lambda x: (2 * x,), (x,)))


def test_names_depend_on_the_key_and_the_arguments_and_are_never_used_twice():
    seen = []
    for key, size in (("a", 1), ("b", 1), ("a", 2), ("a", 1)):
        function = doubled()
        seen.append(names(function, tf.ones(size), with_stable_names(function, key)))
    assert [len(found) for found in seen] == [3] * 4
    assert len(set.union(*seen)) == 12


def test_a_call_returns_what_the_function_does_and_one_that_fails_leaves_the_others_alone():
    assert with_stable_names(doubled())(tf.ones(1))[0].numpy() == 128
    with pytest.raises(ZeroDivisionError):
        with_stable_names(tf.function(lambda x: 1 / 0, autograph=False))(tf.ones(1))
    first, second = (names(doubled(), tf.ones(1)) for _ in range(2))
    assert max(int(name.rpartition("_")[2]) for name in first | second) < 1e7  # TensorFlow's own numbers
    assert not first & second
