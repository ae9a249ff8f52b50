"""Live students with ties to a teacher's layers train what Keras would train with ``kdlab.features.losses``.

The oracle is a plain loop over the same batches: eager, a tape over everything, Keras's own layers and Adam. Tolerances
as in ``test_live``.
"""

from dataclasses import replace

import numpy as np
import pytest

import kdlab
from kdlab import models
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Split
from kdlab.features import losses as feature_losses
from kdlab.features.distillation import METHODS as ALL_METHODS
from kdlab.features.taps import tap
from kdlab.live.batched_features import IN_ANGLES, METHODS, feature_loss, teacher_table
from kdlab.live.trainer import LiveTrainer

EPOCHS, SEEDS, SAMPLES = 2, 2, 133  # two batches of 64 and one of 5
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
LAYERS = {"hidden_1": 12, "hidden_2": 7}


@pytest.fixture(scope="module")
def data():
    data = kdlab.load("digits")
    return replace(data, train=Split(data.train.x[:SAMPLES], data.train.y[:SAMPLES]))


@pytest.fixture(scope="module")
def teacher_features(data):
    """Three layers of a teacher that never learnt: of another width, of the student's, and with units that are dead."""
    random = np.random.default_rng(0)
    wide, same = (np.maximum(data.train.x @ random.normal(size=(64, units)), 0).astype(np.float32) for units in (20, 7))
    return {"wide": wide, "same": same, "dead": wide * (np.arange(20) < 3)}


@pytest.fixture(scope="module")
def trainer(data, teacher_features):
    logits = np.random.default_rng(1).normal(size=(SAMPLES, 10)) + 4 * np.eye(10)[data.train.y]
    student = models.mlp(64, tuple(LAYERS.values()), 10)
    return LiveTrainer(data, student, logits, epochs=EPOCHS, teacher_features=teacher_features)


def compare(method, teacher, student):
    """Return the mean feature loss of a batch, with the angles between its first samples alone."""
    if method == "relational":
        first = (features[:IN_ANGLES] for features in (teacher, student))
        return compare("relational_distance", teacher, student) + 2 * compare("relational_angle", *first)
    loss = getattr(feature_losses, method)
    return tf.reduce_mean(loss(teacher_features=teacher, student_features=student))


def train_in_keras(trainer, data, teacher_features, seed, temperature, alpha, feature_alpha, method, pairs):
    """Train by tape and Adam; return the student, and the means over an epoch of the loss and of its feature term."""
    student = models.mlp(64, tuple(LAYERS.values()), 10)
    student.set_weights(trainer.initial_weights(seed))
    tapped = tap(student, {ours for _, ours in pairs})
    projectors = []
    for kernel_and_bias in trainer.initial_projectors(seed, pairs):
        needed = method == "hint" and kernel_and_bias
        projectors.append(keras.layers.Dense(len(kernel_and_bias[1])) if needed else lambda features: features)
        if needed:
            projectors[-1].build((None, len(kernel_and_bias[0])))
            projectors[-1].set_weights(kernel_and_bias)
    variables = [*student.trainable_variables]
    for projector in projectors:
        variables += getattr(projector, "trainable_variables", [])
    optimizer = keras.optimizers.Adam(0.01)
    teacher_logits = trainer._teacher[0]
    curves = []
    for order in trainer.batch_order(seed):
        sums = np.zeros(2)
        for batch in np.split(order, range(64, SAMPLES, 64)):
            with tf.GradientTape() as tape:
                logits, features = tapped(data.train.x[batch])
                feature = tf.add_n(
                    [
                        compare(method, teacher_features[theirs][batch], projector(features[ours]))
                        for (theirs, ours), projector in zip(pairs, projectors, strict=True)
                    ]
                ) / len(pairs)
                hard = tf.nn.sparse_softmax_cross_entropy_with_logits(data.train.y[batch], logits)
                soft = tf.nn.softmax_cross_entropy_with_logits(
                    tf.nn.softmax(teacher_logits[batch] / temperature), logits / temperature
                )
                response = tf.reduce_mean((1 - alpha) * hard + alpha * temperature**2 * soft)
                loss = feature_alpha * feature + (1 - feature_alpha) * response
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            sums += np.array([loss, feature]) * len(batch)
        curves.append(sums / SAMPLES)
    return student, np.array(curves).T


PAIRS = [("wide", "hidden_2")]
TIES = {
    "hint": [("wide", "logits"), ("same", "hidden_2")],  # the last has no projector
    "relational": [("dead", "hidden_1")],  # distances and angles
}


def train(trainer, feature_alpha=0.5, **options):
    """All that are tied this way are one compiled program, which takes a second to compile."""
    return trainer.train(
        **{"seeds": SEEDS, "feature_alpha": feature_alpha, "pairs": PAIRS, "keep_epochs": True} | options
    )


def test_only_another_method_or_student_layer_compiles(trainer):
    """The first test, for it has to be the first that trains with these."""
    train(trainer)
    before = trainer.traces
    for temperature, alpha, feature_alpha in ((1, 0, 0.1), (2.5, 0.5, 0.9), (20, 1, 1)):
        train(trainer, feature_alpha, temperature=temperature, alpha=alpha)
    train(trainer, pairs=[("dead", "hidden_2")])
    assert trainer.traces == before
    trainer.train(seeds=SEEDS, feature_alpha=0.5, method="relational", pairs=TIES["relational"])
    assert trainer.traces == before + 1
    trainer.train(seeds=SEEDS, feature_alpha=0.5, pairs=TIES["hint"])
    assert trainer.traces == before + 2


@pytest.mark.parametrize("method", TIES)
def test_it_agrees_with_keras_and_a_tape(data, trainer, teacher_features, method):
    pairs = TIES[method]
    position = {"temperature": 3.0, "alpha": 0.6, "feature_alpha": 0.9, "method": method, "pairs": pairs}
    found = trainer.train(seeds=SEEDS, **position)
    student, (loss, feature) = train_in_keras(trainer, data, teacher_features, seed=1, **position)
    for ours, theirs in zip(found.weights, student.get_weights(), strict=True):
        np.testing.assert_allclose(ours[1], theirs, **CLOSE)
    np.testing.assert_allclose(found.train_loss[1], loss, rtol=1e-4)
    np.testing.assert_allclose(found.feature_loss[1], feature, rtol=1e-4)
    assert found.feature_loss[:, -1].mean() < found.feature_loss[:, 0].mean()
    assert found.student(1).count_params() == student.count_params()  # The projector is no part of it.


# --- one batch


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("units", "inside"), [(5, 6), (9, 9), (9, 1), (9, 2)])
def test_a_batch_has_the_loss_and_gradients_of_feature_losses(method, units, inside):
    """Two seeds, two students of each, nine places in a batch of which some may be filling."""
    random = np.random.default_rng(units + inside)
    teacher, index = random.normal(size=(20, 9)).astype(np.float32), random.permutation(18).reshape(2, 9)
    share = (np.arange(9) < inside).astype(np.float32) / inside
    student = random.normal(size=(2, 2, units, 9)).astype(np.float32)
    projector = []
    if method == "hint" and units != 9:
        projector = [random.normal(size=(2, 2, *shape)).astype(np.float32) for shape in ((units, 9), (1, 9))]
    found = feature_loss(
        method, teacher_table(method, teacher), tf.constant(index), tf.constant(share), tf.constant(student),
        [tf.constant(p) for p in projector],
    )  # fmt: skip
    assert len(found[2]) == len(projector)
    for k, g in np.ndindex(2, 2):
        variables = [tf.constant(v[k, g]) for v in (student, *projector)]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            features = tf.transpose(variables[0])[:inside]
            if projector:
                features = features @ variables[1] + variables[2]
            loss = tf.reduce_mean(
                getattr(feature_losses, method)(teacher_features=teacher[index[k, :inside]], student_features=features)
            )
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        np.testing.assert_allclose(found[0][k, g], loss, rtol=1e-4, atol=1e-6)
        for ours, theirs in zip([found[1], *found[2]], gradients, strict=True):
            np.testing.assert_allclose(ours[k, g], theirs, rtol=1e-3, atol=1e-6)


def test_samples_that_are_the_same_to_the_student_have_a_finite_gradient():
    teacher, student = np.random.default_rng(0).normal(size=(4, 3)), np.zeros((1, 1, 5, 4), np.float32)
    share, index = tf.fill((4,), 0.25), tf.constant([[0, 1, 2, 3]])
    for method in METHODS[1:]:
        loss, gradient, _ = feature_loss(method, teacher_table(method, teacher), index, share, tf.constant(student))
        assert np.isfinite(loss).all()
        assert np.isfinite(gradient).all()


# --- positions


def test_a_feature_alpha_of_0_is_the_response_alone_bit_for_bit(trainer):
    plain = trainer.train(2.0, 0.5, seeds=SEEDS)
    for options in ({"feature_alpha": 0.0}, {"feature_alpha": 0, "method": "similarity", "pairs": PAIRS}):
        found = trainer.train(2.0, 0.5, seeds=SEEDS, **options)
        for ours, theirs in zip(found.weights, plain.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(found.train_loss, plain.train_loss)
        assert found.feature_loss is None


@pytest.mark.parametrize("method", TIES)
def test_a_feature_alpha_near_0_is_near_the_response_alone(trainer, method):
    plain = trainer.train(2.0, 0.5, seeds=SEEDS)
    found = trainer.train(2.0, 0.5, seeds=SEEDS, feature_alpha=1e-12, method=method, pairs=TIES[method])
    np.testing.assert_allclose(found.test_logits, plain.test_logits, **CLOSE)
    np.testing.assert_allclose(found.train_loss, plain.train_loss, rtol=1e-5)


def test_a_feature_alpha_of_1_leaves_what_comes_after_the_tie_as_it_was(trainer):
    found = train(trainer, feature_alpha=1.0)
    for seed in range(SEEDS):
        moved = [
            not np.array_equal(w[seed], initial)
            for w, initial in zip(found.weights, trainer.initial_weights(seed), strict=True)
        ]
        assert moved == [True] * 4 + [False] * 2
    np.testing.assert_allclose(found.train_loss, found.feature_loss, rtol=1e-6)


def test_seeds_have_projectors_of_their_own(trainer):
    pairs = [("wide", "hidden_1"), ("wide", "hidden_2")]
    (first, zeros), (second, _) = trainer.initial_projectors(0, pairs)
    assert first.shape == (12, 20)
    assert second.shape == (7, 20)
    assert not zeros.any()
    assert np.abs(first).max() <= np.sqrt(6 / 32)  # Glorot's
    assert not np.array_equal(first[:7], second)
    assert not np.array_equal(first, trainer.initial_projectors(1, pairs)[0][0])
    assert trainer.initial_projectors(0, [("same", "hidden_2")]) == [[]]


def test_a_sweep_is_a_train_at_every_position_and_seeds_are_nested(trainer, data):
    """A sweep of four seeds, whose first two are those of a training of two."""
    temperatures, alphas = [1.0, 4.0], [0.0, 0.9, 1.0]
    sweep = trainer.sweep(temperatures, alphas, seeds=4, feature_alpha=0.6, pairs=PAIRS)
    assert sweep.test_accuracy.shape == (2, 3, 4)
    for t, temperature in enumerate(temperatures):
        for a, alpha in enumerate(alphas):
            one = train(trainer, 0.6, temperature=temperature, alpha=alpha)
            for swept, trained, samples in (
                (sweep.test_accuracy, one.test_accuracy, len(data.test)),
                (sweep.validation_accuracy, one.validation_accuracy[:, -1], len(data.validation)),
            ):
                np.testing.assert_allclose(swept[t, a, :SEEDS], trained, rtol=0, atol=1.001 / samples)


def test_the_live_methods_are_those_of_feature_distillation():
    assert set(METHODS) < set(ALL_METHODS)


def test_angles_of_a_large_batch_are_those_of_its_first_samples():
    random = np.random.default_rng(3)
    count = IN_ANGLES + 4
    teacher, student = (
        random.normal(size=(count, 6)).astype(np.float32),
        random.normal(size=(1, 1, 5, count)).astype(np.float32),
    )
    index, share = tf.range(count)[None], tf.fill((count,), 1 / count)
    table = teacher_table("relational", teacher)
    some = [f[:IN_ANGLES] for f in (teacher, student[0, 0].T)]
    angle = feature_losses.relational_angle(teacher_features=some[0], student_features=some[1])
    distance = feature_losses.relational_distance(teacher_features=teacher, student_features=student[0, 0].T)
    for method, expected in (("relational_angle", angle), ("relational", distance + 2 * angle)):
        found, gradient, _ = feature_loss(method, table, index, share, tf.constant(student))
        np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4)
        assert gradient.numpy()[..., IN_ANGLES:].any() == (method == "relational")


# --- training in stages


def test_a_second_stage_starts_from_the_first(trainer):
    first = train(trainer, feature_alpha=1.0)
    second = train(trainer, start=first)
    for before, after in zip(first.weights, second.weights_per_epoch, strict=True):
        np.testing.assert_array_equal(after[:, 0], before)
    plain = train(trainer)
    assert not np.allclose(second.weights[0], plain.weights[0], atol=1e-2)


def test_a_stage_from_the_initial_weights_is_no_stage(trainer):
    begun = replace(
        trainer.train(seeds=2), weights=[np.stack(w) for w in zip(*map(trainer.initial_weights, range(2)), strict=True)]
    )
    found, plain = trainer.train(3.0, 0.7, seeds=2, start=begun), trainer.train(3.0, 0.7, seeds=2)
    for ours, theirs in zip(found.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_start_of_other_students_is_refused(trainer):
    two = trainer.train(seeds=2)
    with pytest.raises(ValueError, match=r"start must have as many students as seeds \(3\), got 2"):
        trainer.train(seeds=3, start=two)
    others = replace(two, weights=[w[:, :5] for w in two.weights])
    for start in (others, two.weights):
        with pytest.raises(ValueError, match="start must be a LiveResult of students with the same layers"):
            trainer.train(seeds=2, start=start)


# --- what a result shows of its layers


def test_a_results_features_are_those_of_its_keras_students(trainer, data):
    result = train(trainer)
    for layer, units in {**LAYERS, "logits": 10}.items():
        found = result.features(data.test.x, layer)
        assert found.shape == (SEEDS, len(data.test), units)
        for seed in range(SEEDS):
            _, features = tap(result.student(seed), [layer])(data.test.x)
            np.testing.assert_allclose(found[seed], features[layer], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result.features(data.test.x, "logits"), result.logits(data.test.x))
    _, features = tap(result.student(1, epoch=1), ["hidden_1"])(data.test.x)
    np.testing.assert_allclose(
        result.features(data.test.x, "hidden_1", epoch=1)[1], features["hidden_1"], rtol=1e-5, atol=1e-5
    )


@pytest.fixture(scope="module")
def layered(data):
    """A trainer of a student whose layers are not all with features."""
    layers = keras.layers
    student = keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            *(layers.Flatten(name="flat"), layers.Dense(5, name="before"), layers.ReLU(name="after")),
            layers.Dense(10, name="logits"),
        ]
    )
    return LiveTrainer(data, student, np.zeros((SAMPLES, 10)), epochs=1, teacher_features={"t": np.ones((SAMPLES, 2))})


def test_a_layer_is_what_its_activation_layer_makes_of_it(layered, data):
    result = layered.train(seeds=1)
    before, after = (result.features(data.test.x, name) for name in ("before", "after"))
    assert before.min() < 0
    np.testing.assert_array_equal(np.maximum(before, 0), after)
    with pytest.raises(ValueError, match="no layer 'flat' with features"):
        result.features(data.test.x, "flat")


def test_a_result_says_its_position_in_one_line(trainer):
    result = train(trainer)
    assert "alpha=0.9, seeds=2, feature_alpha=0.5, mean test accuracy" in repr(result)


# --- what is refused, before any training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_alpha": 1.5}, "feature_alpha must be a number from 0 to 1, got 1.5"),
        ({"method": "hints"}, "method must be one of 'hint', .*'relational_angle', 'relational', got 'hints'"),
        ({"feature_alpha": 0, "method": "attention"}, "got 'attention'; kdlab.FeatureDistillation has others"),
        ({"pairs": ()}, r"pairs must have at least one \(teacher layer, student layer\) for a feature_alpha above 0"),
        ({"pairs": ["wide"]}, r"pairs must be a list of \(teacher layer, student layer\), got \['wide'\]"),
        ({"pairs": 3}, "pairs must be a list of"),
        (
            {"pairs": [("wied", "hidden_1")]},
            r"teacher_features has no layer 'wied'; its layers and units are wide \(20\), same \(7\), dead \(20\)",
        ),
        (
            {"pairs": [("wide", "hiden_1")]},
            r"the student has no layer 'hiden_1' with features; its layers and units are hidden_1 \(12\), "
            r"hidden_2 \(7\), logits \(10\)",
        ),
        ({"pairs": [("wide", ["hidden_1"])]}, r"the student has no layer \['hidden_1'\]"),
        ({"seeds": 10**6}, "seeds must be few enough for memory_limit"),
    ],
)
def test_wrong_ties_are_refused(trainer, options, message):
    with pytest.raises(ValueError, match=message):
        trainer.train(**{"feature_alpha": 0.5, "pairs": PAIRS, **options})


def test_a_layer_without_features_is_refused(layered):
    units = r"before \(5\), after \(5\), logits \(10\)"
    for name in ("pixels", "flat"):
        with pytest.raises(ValueError, match=f"no layer '{name}' with features; its layers and units are {units}"):
            layered.train(feature_alpha=0.5, pairs=[("t", name)])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([1], "teacher_features must be a dict, layer name to array"),
        (
            {"a": np.ones((SAMPLES - 1, 3))},
            rf"teacher_features\['a'\] must be real numbers of shape \({SAMPLES}, units\)",
        ),
        ({"a": np.ones(SAMPLES)}, r"got float64 of shape \(133,\)"),
        ({"a": np.full((SAMPLES, 3), "x")}, "must be real numbers"),
        ({"a": np.full((SAMPLES, 3), np.nan)}, r"teacher_features\['a'\] must be finite"),
    ],
)
def test_wrong_teacher_features_are_refused(data, features, message):
    with pytest.raises(ValueError, match=message):
        LiveTrainer(data, models.mlp(), np.zeros((SAMPLES, 10)), teacher_features=features)


def test_relations_between_all_samples_count_for_the_memory(data, teacher_features):
    trainer = LiveTrainer(data, models.mlp(), np.zeros((SAMPLES, 10)), teacher_features=teacher_features)
    trainer.memory_limit = 20 * SAMPLES**2
    with pytest.raises(ValueError, match="memory_limit"):
        trainer.train(seeds=1, feature_alpha=0.5, method="similarity", pairs=[("wide", "hidden_1")])
