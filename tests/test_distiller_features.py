"""Distiller with features against numpy in float64 and a plain loop; what runs how often; saving; what it refuses."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kdlab
from kdlab import FeatureDistillation
from kdlab.features import losses as feature_losses
from kdlab.softening import distillation_loss

CLASSES = 4
SPARSE = keras.losses.SparseCategoricalCrossentropy
METHODS = ("hint", "attention", "similarity", "relational_distance", "relational_angle", "relational")


@keras.saving.register_keras_serializable("kdlab_tests")
class Counter(layers.Layer):
    """Counts the samples that pass, in training and else; they pass unchanged."""

    def build(self, shape):
        self.seen = [
            self.add_weight(shape=(), initializer="zeros", trainable=False, name=name) for name in ("else", "training")
        ]

    def call(self, inputs, training=False):
        self.seen[bool(training)].assign_add(keras.ops.cast(keras.ops.shape(inputs)[0], "float32"))
        return inputs

    @property
    def counts(self):
        """Not in training, in training."""
        return tuple(int(variable) for variable in self.seen)


def cnn(width, seed, dense=5, counter=None, size=8):
    """A convolutional network with batch norm and two layers worth a tap: "maps" (4, 4, width), "code" (dense,)."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((size, size, 1)),
            *([counter] if counter else []),
            layers.Conv2D(width, 3, padding="same", use_bias=False),  # Batch norm would undo a bias.
            layers.BatchNormalization(momentum=0.5),
            layers.ReLU(),
            layers.MaxPooling2D(name="maps"),
            layers.Flatten(),
            layers.Dense(dense, activation="relu", name="code"),
            layers.Dense(CLASSES, name="logits"),
        ]
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.random((48, 8, 8, 1)).astype(np.float32), rng.integers(0, CLASSES, 48).astype(np.int32)


@pytest.fixture(scope="module")
def teacher(data):
    model = cnn(6, seed=1, dense=7)
    model.compile("adam", loss=SPARSE(from_logits=True), run_eagerly=True)
    model.fit(*data, batch_size=48, verbose=0)
    return model


def distiller(
    teacher, student=None, method="hint", pairs=(("maps", "maps"),), optimizer=None, compiled=None, **options
):
    """A compiled Distiller. Its few steps run eagerly unless ``compiled`` says otherwise: a graph takes longer to make."""
    model = kdlab.Distiller(
        teacher=teacher,
        student=student or cnn(3, seed=2),
        features=FeatureDistillation(method, list(pairs)),
        **options,
    )
    compiled = {"run_eagerly": True} if compiled is None else compiled
    model.compile(optimizer or keras.optimizers.SGD(0.1), **compiled)
    return model


def fit(model, *arguments, seed=0, **options):
    keras.utils.set_random_seed(seed)
    return model.fit(*arguments, **{"batch_size": 24, "verbose": 0, **options}).history


def assert_same_weights(first, second, **tolerance):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-4, "atol": 1e-5}))


def outputs_of(model, *names, training=False):
    """Each layer's output and then the logits, float64, layer by layer."""

    def run(x):
        found, tensor = {}, x
        for layer in model.layers:
            takes = "training" in layer._call_signature.parameters
            tensor = layer(tensor, training=training) if takes else layer(tensor)
            found[layer.name] = np.asarray(tensor, np.float64)
        return [found[name] for name in (*names, "logits")]

    return run


# What is trained.


def test_hint_against_a_plain_loop(data, teacher):
    """An epoch of the same batches: dense and 1×1 projectors, batch norm, weights, unlabelled samples, momentum."""
    x, y = data
    pairs = [("maps", "maps"), ("code", "code")]
    y = np.where(np.arange(len(y)) % 5 == 0, -1, y)
    weight = np.random.default_rng(1).random(len(x)).astype(np.float32)
    students = [cnn(3, seed=2), cnn(3, seed=2)]
    options = {"temperature": 3.0, "alpha": 0.7, "feature_alpha": 0.4}
    model = distiller(teacher, students[0], pairs=pairs, optimizer=keras.optimizers.SGD(0.05, momentum=0.9), **options)
    start = [projector.get_weights() for projector in model.feature_term.projectors]
    kernels = [[keras.Variable(w) for w in pair] for pair in start]
    fit(model, x, y, batch_size=16, sample_weight=weight, shuffle=False)

    names = [name for name, _ in pairs]
    plain, optimizer = students[1], keras.optimizers.SGD(0.05, momentum=0.9)
    end = keras.Model(plain.inputs[0], [*(plain.get_layer(name).output for name in names), plain.outputs[0]])
    targets = [np.float32(part) for part in outputs_of(teacher, *names)(x)]
    for first in (0, 16, 32):
        batch = slice(first, first + 16)
        w, known = weight[batch], np.float32(y[batch] >= 0)
        with tf.GradientTape() as tape:
            *features, z = end(x[batch], training=True)
            hard = known * tf.nn.sparse_softmax_cross_entropy_with_logits(np.maximum(y[batch], 0), z)
            p = tf.nn.softmax(targets[-1][batch] / 3.0)
            soft = 9.0 * tf.nn.softmax_cross_entropy_with_logits(p, z / 3.0)
            task = tf.reduce_mean(w * (0.3 * hard + 0.7 * soft))
            hint = 0.0
            for f, (kernel, bias), target in zip(features, kernels, targets, strict=False):
                projected = tf.tensordot(f, kernel.value, 1) + bias.value
                error = tf.reduce_mean((projected - target[batch]) ** 2, axis=list(range(1, projected.shape.rank)))
                hint += tf.reduce_mean(w * error) / len(pairs)
            loss = 0.4 * hint + 0.6 * task
        variables = [*plain.trainable_variables, *(variable for pair in kernels for variable in pair)]
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    assert_same_weights(*students)
    for projector, theirs, before in zip(model.feature_term.projectors, kernels, start, strict=True):
        for a, b, c in zip(projector.get_weights(), theirs, before, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            assert np.abs(a - c).max() > 1e-3


@pytest.fixture(scope="module")
def as_wide():
    """A student of its teacher's widths."""
    student = cnn(6, seed=2, dense=7)
    student.layers[2].name = "relu"
    return student


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_of_every_method(data, teacher, as_wide, method):
    """Nothing moves; equal widths, so that a hint has no projector; two pairs; samples shuffled."""
    (x, y), student = data, as_wide
    pairs = [("maps", "maps"), ("maps", "relu") if method == "attention" else ("code", "code")]
    model = distiller(teacher, student, method, pairs, keras.optimizers.SGD(0.0), alpha=0.6, feature_alpha=0.25)
    assert model.feature_term.projectors == [None, None]
    history = fit(model, x, y, batch_size=48)
    (*theirs, z_t), (*ours, z_s) = (
        outputs_of(net, *names, training=net is student)(x)
        for net, names in zip((teacher, student), zip(*pairs, strict=True), strict=True)
    )
    if method == "attention":
        theirs, ours = ([(f**2).sum(axis=-1) for f in features] for features in (theirs, ours))
    loss = getattr(feature_losses, method)
    values = [
        np.mean(loss(teacher_features=tf.constant(t), student_features=tf.constant(s)))
        for t, s in zip(theirs, ours, strict=True)
    ]
    np.testing.assert_allclose(history["feature_loss"], np.mean(values), rtol=1e-4)
    task = distillation_loss(z_s, z_t, y, 4.0, 0.6)
    np.testing.assert_allclose(history["loss"], 0.25 * np.mean(values) + 0.75 * task, rtol=1e-4)
    assert set(history) == {"loss", "student_loss", "distillation_loss", "feature_loss"}


def test_kept_features_stay_with_their_samples(data, teacher):
    """Shuffled in small batches, the mean of a loss per sample is that of the whole, or samples were mixed up."""
    x, y = data
    student = cnn(6, seed=2, dense=7)
    for layer in student.layers:
        layer.trainable = layer.name == "logits"  # Batch norm then runs on its statistics.
    model = distiller(teacher, student, pairs=[("code", "code")], optimizer=keras.optimizers.SGD(0.0))
    history = fit(model, x, y, batch_size=8, shuffle=True)
    (theirs, _), (ours, _) = (outputs_of(net, "code")(x) for net in (teacher, student))
    np.testing.assert_allclose(history["feature_loss"], np.mean((ours - theirs) ** 2), rtol=1e-4)


def test_one_teacher_layer_for_two_student_layers_and_back(data, teacher):
    x, y = data
    pairs = [("code", "code"), ("code", "logits"), ("logits", "code")]
    model = distiller(teacher, pairs=pairs)
    assert set(model.teacher_features(x)) == {"code", "logits"}
    assert [p.units for p in model.feature_term.projectors] == [7, 7, CLASSES]
    assert np.isfinite(fit(model, x, y, batch_size=48)["loss"]).all()


@pytest.mark.parametrize("method", ["attention", "similarity"])
def test_weights_weigh_losses_per_sample_and_leave_those_of_a_batch_alone(data, teacher, method):
    x, y = data
    weight = np.random.default_rng(1).random(len(x)).astype(np.float32)
    student = cnn(3, seed=2)
    for layer in student.layers[:2]:
        layer.trainable = False  # Batch norm's statistics too stay as they are.
    compiled = {} if method == "attention" else None  # in a graph, where the number of samples is open
    model = distiller(teacher, student, method, optimizer=keras.optimizers.SGD(0.0), compiled=compiled)
    plain, weighted, doubled = (
        fit(model, x, y, batch_size=48, sample_weight=given)["feature_loss"][0]
        for given in (np.ones(48), weight, np.full(48, 2.0))
    )
    assert doubled == pytest.approx(plain * (2 if method == "attention" else 1), rel=1e-4)
    assert (weighted == pytest.approx(plain, rel=1e-4)) == (method == "similarity")


def test_feature_alpha_zero_is_the_plain_distiller_and_one_trains_nothing_above_the_tap(data, teacher):
    x, y = data
    student = cnn(3, seed=2)
    start, trained = student.get_weights(), []
    for model in (
        distiller(teacher, student, feature_alpha=0.0),
        distiller(teacher, student, feature_alpha=1.0),
        kdlab.Distiller(teacher=teacher, student=student),
    ):
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        student.set_weights(start)
        fit(model, x, y)
        trained.append(student.get_weights())
    for a, b in zip(trained[0], trained[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(trained[1][-4:], start[-4:], strict=True):  # of "code" and "logits"
        np.testing.assert_array_equal(a, b)
    assert np.abs(trained[1][0] - start[0]).max() > 1e-3


def test_every_way_to_bring_the_teachers_features_trains_the_same(data, teacher):
    x, y = data
    model, weights = distiller(teacher, pairs=[("maps", "maps"), ("code", "code")]), {}
    start = model.get_weights()  # Projectors and batch norm's statistics are among them.

    def trained(name, *arguments, **options):
        model.set_weights(start)
        fit(model, *arguments, shuffle=False, **options)
        weights[name] = model.get_weights()

    logits, features = model.teacher_logits(x), model.teacher_features(x, batch_size=7)
    trained("arrays", x, y)
    trained("beside labels", x, (y, logits, features))
    trained("logits beside labels", x, (y, logits), teacher_features=features)
    for name, targets in {"": y, " with logits": (y, logits)}.items():
        batches = tf.data.Dataset.from_tensor_slices((x, targets)).batch(24)
        trained("data set" + name, batches, batch_size=None)
    weighted = tf.data.Dataset.from_tensor_slices((x, (y, logits, features), np.ones(48))).batch(24)
    trained("data set with all and weights", weighted, batch_size=None)
    assert np.abs(weights["arrays"][0] - start[0]).max() > 1e-3
    for name, trained_weights in weights.items():
        for a, b in zip(trained_weights, weights["arrays"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def dense(width, seed):
    keras.utils.set_random_seed(seed)
    code = layers.Dense(width, activation="relu", name="code")
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), code, layers.Dense(CLASSES)])


@pytest.mark.parametrize("method", ["hint", "relational"])
def test_under_xla_it_trains_the_same(data, method):
    """Between dense layers: the gradients of convolutions take XLA seconds."""
    x, y = data
    teacher, students = dense(7, seed=1), [dense(5, seed=2), dense(5, seed=2)]
    for student, options in zip(students, (None, {"jit_compile": True}), strict=True):
        keras.utils.set_random_seed(3)
        fit(distiller(teacher, student, method, [("code", "code")], compiled=options), x, y)
    assert_same_weights(*students, rtol=1e-3, atol=1e-4)
    assert np.abs(students[0].get_weights()[0] - dense(5, seed=2).get_weights()[0]).max() > 1e-3


def test_mixed_precision_features_are_compared_in_float32(data, teacher):
    x, y = data
    student = cnn(3, seed=2)
    for layer in student.layers:
        layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    history = fit(distiller(teacher, student, pairs=[("maps", "maps"), ("code", "code")]), x, y, batch_size=48)
    assert np.isfinite(history["feature_loss"]).all()


# What runs, and how often.


def test_the_teacher_runs_once_over_arrays_and_the_student_once_a_step(data):
    x, y = data
    counters = Counter(), Counter()
    models = cnn(6, 1, counter=counters[0]), cnn(3, 2, counter=counters[1])
    model = distiller(*models, pairs=[("maps", "maps"), ("code", "code")])
    start = [counter.counts for counter in counters]
    fit(model, x, y, epochs=2)
    seen = [np.subtract(counter.counts, before) for counter, before in zip(counters, start, strict=True)]
    assert tuple(seen[0]) == (48, 0)
    assert tuple(seen[1]) == (16, 2 * 48)  # The 16 are looked at for probabilities, before training.
    teachers = counters[0].counts
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    kept = model.teacher_logits(x), model.teacher_features(x)
    fit(model, x, y, batch_size=48, teacher_logits=kept[0], teacher_features=kept[1])
    assert np.subtract(counters[0].counts, teachers).tolist() == [96, 0]  # teacher_logits and teacher_features


def test_weights_of_the_loss_may_move_without_a_retrace(data):
    x, y = data

    class Counted(kdlab.Distiller):
        traces = 0

        def train_step(self, batch):
            type(self).traces += 1
            return super().train_step(batch)

    features = FeatureDistillation("hint", [("code", "code")])
    model = Counted(teacher=dense(7, seed=1), student=dense(5, seed=2), features=features)
    assert model.feature_alpha == 0.5
    model.compile(keras.optimizers.SGD(0.0))
    for weight in (0.0, 0.25, 1.0):
        model.feature_alpha = weight
        history = fit(model, x, y)
        terms = {name: values[0] for name, values in history.items()}
        task = 0.1 * terms["student_loss"] + 0.9 * terms["distillation_loss"]
        assert terms["loss"] == pytest.approx(weight * terms["feature_loss"] + (1 - weight) * task, rel=1e-5)
    assert Counted.traces == 1


def test_the_teacher_is_left_as_it_was_and_evaluate_changes_nothing(data, teacher):
    x, y = data
    state = [v.numpy() for v in (*teacher.variables, *teacher.optimizer.variables)]
    model = distiller(teacher)
    fit(model, x, y, batch_size=48, validation_data=(x[:9], y[:9]))
    fit(model, tf.data.Dataset.from_tensor_slices((x, y)).batch(48), batch_size=None, shuffle=False)
    for a, b in zip(state, (*teacher.variables, *teacher.optimizer.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(layer.trainable for layer in teacher.layers)
    mine = {id(v) for v in model.variables}
    assert not mine & {id(v) for v in teacher.variables}
    before = [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(logs) == {"loss"}
    z = model.student(x).numpy()
    assert logs["loss"] == pytest.approx(distillation_loss(z, z, y, alpha=0.0), rel=1e-5)
    for a, b in zip(before, (*model.weights, *model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_norm_moves_once_a_step(data, teacher):
    x, y = data
    student = cnn(3, seed=2)
    means = [np.asarray(student.layers[0](x[i : i + 24])).mean(axis=(0, 1, 2)) for i in (0, 24)]
    expected = np.zeros(3)
    for mean in means:
        expected = 0.5 * expected + 0.5 * mean
    fit(distiller(teacher, student, optimizer=keras.optimizers.SGD(0.0)), x, y, shuffle=False)
    np.testing.assert_allclose(student.layers[1].moving_mean, expected, atol=1e-6)


# Saving, and after divergence.


def test_saved_and_loaded_it_goes_on_and_the_student_alone_has_no_projector(data, teacher, tmp_path):
    x, y = data
    pairs = [("maps", "maps"), ("code", "code")]
    model = distiller(teacher, pairs=pairs, optimizer=keras.optimizers.SGD(0.1, momentum=0.9), feature_alpha=0.3)
    fit(model, x, y, batch_size=48)
    model.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.features == model.features
    assert loaded.feature_alpha == 0.3
    assert_same_weights(loaded.feature_term, model.feature_term, rtol=0)
    np.testing.assert_array_equal(loaded.student(x), model.student(x))
    histories = [fit(one, x, y, seed=1, batch_size=48) for one in (loaded, model)]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    assert_same_weights(loaded, model)

    model.student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras")
    new = cnn(3, seed=2)
    assert [type(layer) for layer in student.layers] == [type(layer) for layer in new.layers]
    assert student.count_params() == new.count_params()
    assert model.count_params() > student.count_params()
    np.testing.assert_array_equal(student(x), model.student(x))


def test_after_divergence_the_projector_is_as_before_too(data, teacher):
    model = distiller(teacher, optimizer=keras.optimizers.SGD(1e38))
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="diverged in epoch 1"):
        fit(model, *data)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# What it refuses.


@pytest.fixture(scope="module")
def named():
    """A teacher and a student that are not trained."""
    student = cnn(3, seed=2)
    student.layers[0].name = "conv"
    return keras.Sequential([keras.Input((8, 8, 1), name="input"), *cnn(6, seed=1, dense=7).layers]), student


@pytest.mark.parametrize(
    ("method", "pair", "message"),
    [
        ("hint", ("maps", "mpas"), r"student has no layer 'mpas'; its layers are conv \(8, 8, 3\), "),
        ("hint", ("conv9", "maps"), r"teacher has no layer 'conv9'; its layers are conv2d\w* \(8, 8, 6\), "),
        ("hint", ("input", "maps"), "teacher layer 'input' is the model's input, and not a feature of it; its layers"),
        (
            "hint",
            ("maps", "conv"),
            r"hint needs two layers of the same height and width, or two without; teacher layer 'maps' returns "
            r"\(4, 4, 6\) and student layer 'conv' \(8, 8, 3\)\. Teacher layers: .*maps \(4, 4, 6\).*\. "
            r"Student layers: conv \(8, 8, 3\), .*maps \(4, 4, 3\)",
        ),
        ("hint", ("maps", "code"), r"same height and width.* returns \(4, 4, 6\) and student layer 'code' \(5,\)"),
        ("attention", ("maps", "code"), r"attention needs layers that return maps \(height, width, channels\); "),
    ],
)
def test_layers_that_cannot_be_tapped_or_compared(named, method, pair, message):
    with pytest.raises(ValueError, match=message):
        distiller(*named, method, [pair])


def test_layers_of_unknown_size_cannot_be_compared():
    models = [
        keras.Sequential(
            [
                keras.Input((None, None, 1)),
                layers.Conv2D(3, 3, name="maps"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4),
            ]
        )
        for _ in range(2)
    ]
    with pytest.raises(ValueError, match="must return features of known shape"):
        distiller(*models)


@pytest.mark.parametrize("method", ["hints", "crd", None, 3])
def test_methods_there_are_not(method):
    with pytest.raises(
        ValueError, match=f"method must be one of 'hint', 'attention', .*, got {re.escape(repr(method))}"
    ):
        FeatureDistillation(method, [("a", "b")])


@pytest.mark.parametrize("pairs", [[], ("a", "b"), ["ab"], [("a", "b", "c")], [("a", 1)], "ab", None, {"a": "b"}])
def test_pairs_that_are_none(pairs):
    message = r"pairs must be a list of \(teacher layer, student layer\), two names each, got " + re.escape(repr(pairs))
    with pytest.raises(ValueError, match=message):
        FeatureDistillation("hint", pairs)


def test_teachers_and_weights_it_cannot_use(data, teacher):
    features, student = FeatureDistillation("hint", [("maps", "maps")]), cnn(3, seed=2)
    for wrong in (None, [teacher]):
        with pytest.raises(ValueError, match=r"features need one teacher, a keras.Model, got "):
            kdlab.Distiller(teacher=wrong, student=student, features=features)
    with pytest.raises(ValueError, match=r"features must be a kdlab.FeatureDistillation, got 'hint'"):
        kdlab.Distiller(teacher=teacher, student=student, features="hint")
    model = distiller(teacher, student)
    for weight in (-0.1, 1.5, float("nan"), "1"):
        with pytest.raises(ValueError, match="feature_alpha must be a number from 0 to 1, got"):
            model.feature_alpha = weight
        with pytest.raises(ValueError, match="feature_alpha must be a number from 0 to 1, got"):
            kdlab.Distiller(teacher=teacher, student=student, features=features, feature_alpha=weight)
    assert model.feature_alpha == 0.5
    plain = kdlab.Distiller(teacher=teacher, student=student)
    with pytest.raises(ValueError, match="there are no features: give Distiller features="):
        plain.teacher_features(data[0])


def test_kept_features_that_do_not_fit(data, teacher):
    x, y = data
    model = distiller(teacher)
    good = model.teacher_features(x)
    nan = {"maps": np.where(np.arange(48)[:, None, None, None] == 3, np.nan, good["maps"])}
    expected = re.escape("{'maps': (48, 4, 4, 6)}")
    for wrong, message in (
        ({"maps": good["maps"][:9]}, rf"arrays by layer name, of shapes {expected}, got {{'maps': \(9, 4, 4, 6\)}}"),
        ({"code": good["maps"]}, rf"of shapes {expected}, got {{'code'"),
        (good["maps"].mean(), rf"of shapes {expected}, got "),
        (nan, "must be finite, those of 'maps' are not"),
    ):
        with pytest.raises(
            ValueError, match="teacher_features must be .*" + message.replace("must be finite", "finite")
        ):
            model.fit(x, y, teacher_features=wrong, verbose=0)
    plain = kdlab.Distiller(teacher=teacher, student=cnn(3, seed=2))
    plain.compile()
    with pytest.raises(ValueError, match=r"teacher_features go with Distiller\(features="):
        plain.fit(x, y, teacher_features=good, verbose=0)
    with pytest.raises(ValueError, match="go with arrays, and so do teacher_features"):
        model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(9), teacher_features=good, verbose=0)
