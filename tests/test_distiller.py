"""Distiller against numpy in float64 and plain Keras; everything a Keras model does; what it refuses."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdlab
from kdlab import losses
from kdlab.models import mlp
from kdlab.softening import distillation_gradient, distillation_loss, softmax

FEATURES, CLASSES = 12, 4
SPARSE = keras.losses.SparseCategoricalCrossentropy


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, 100).astype(np.int32)


@pytest.fixture(scope="module")
def teacher():
    return mlp(FEATURES, (8,), CLASSES, seed=1, name="teacher")


def new_student(seed=2, **options):
    return mlp(FEATURES, (6,), CLASSES, seed=seed, **options)


def linear_student():
    """z = x W: its gradient is xᵀ times the logits' gradient."""
    dense = keras.layers.Dense(CLASSES, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(3))
    return keras.Sequential([keras.Input((FEATURES,)), dense])


def distiller(teacher=None, student=None, optimizer=None, metrics=("accuracy",), compiled=None, **options):
    """A compiled Distiller. Its few steps run eagerly unless ``compiled`` says otherwise: a graph takes longer to make."""
    model = kdlab.Distiller(teacher=teacher, student=student or new_student(), **options)
    compiled = {"run_eagerly": True} if compiled is None else compiled
    model.compile(optimizer or keras.optimizers.SGD(0.1), metrics=list(metrics), **compiled)
    return model


def fit(model, *arguments, seed=0, **options):
    """Fit from a seed, so that two models see the same batches; returns the history."""
    keras.utils.set_random_seed(seed)
    return model.fit(*arguments, **{"batch_size": 50, "verbose": 0, **options}).history


def assert_same_weights(first, second, exact=True):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}))


class Counted(kdlab.Distiller):
    """Counts how often its training step is traced."""

    traces = 0

    def train_step(self, batch):
        type(self).traces += 1
        return super().train_step(batch)


# The loss.


@pytest.fixture(scope="module")
def linear(teacher):
    """A Distiller of one layer, in a graph."""
    model = Counted(teacher=teacher, student=linear_student())
    model.compile(keras.optimizers.SGD(0.1))
    return model


def test_loss_and_step_against_numpy_at_temperatures_and_alphas_that_change_without_a_retrace(data, teacher, linear):
    """One step of gradient descent on one batch, with unlabelled samples in it."""
    x, y = data
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    for temperature, alpha in ((1.0, 0.5), (4.0, 0.9), (20, 1), (3.0, 0.0)):
        linear.temperature, linear.alpha = temperature, alpha
        assert (linear.temperature, linear.alpha) == (temperature, alpha)
        w = linear.student.get_weights()[0].astype(np.float64)
        history = fit(linear, x, y, batch_size=len(x))
        z_s, z_t = x @ w, teacher(x).numpy().astype(np.float64)
        np.testing.assert_allclose(history["loss"], distillation_loss(z_s, z_t, y, temperature, alpha), rtol=1e-5)
        step = x.T @ distillation_gradient(z_s, z_t, y, temperature, alpha)
        np.testing.assert_allclose(linear.student.get_weights()[0], w - 0.1 * step, atol=1e-6)
        terms = (1 - alpha) * history["student_loss"][0] + alpha * history["distillation_loss"][0]
        np.testing.assert_allclose(history["loss"], terms, rtol=1e-5)
    assert Counted.traces == 1


def test_sample_weights_weigh_both_terms_and_divide_by_the_batch_size(data, teacher):
    x, y = data
    weight = np.random.default_rng(1).random(len(x))
    student = linear_student()
    w = student.get_weights()[0].astype(np.float64)
    fit(
        distiller(teacher, student, keras.optimizers.SGD(0.1)),
        x,
        y,
        sample_weight=weight,
        batch_size=100,
    )
    gradient = distillation_gradient(x @ w, teacher(x).numpy(), y, 4.0, 0.9)
    np.testing.assert_allclose(student.get_weights()[0], w - 0.1 * x.T @ (weight[:, None] * gradient), atol=1e-6)


@pytest.mark.parametrize("option", ["sample_weight", "class_weight"])
def test_alpha_zero_is_plain_keras(data, teacher, option):
    x, y = data
    student, fitting = new_student(dropout=0.2), {"validation_split": 0.2, "batch_size": 40}
    if option == "sample_weight":
        fitting["sample_weight"] = np.random.default_rng(1).random(len(x)).astype(np.float32)
    else:
        fitting["class_weight"] = {0: 2.0, 2: 0.5}
        student = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, kernel_regularizer="l2")])
    alone = keras.models.clone_model(student)
    alone.set_weights(student.get_weights())
    keras.utils.set_random_seed(0)
    alone.compile(keras.optimizers.SGD(0.1), loss=SPARSE(from_logits=True), metrics=["accuracy"], run_eagerly=True)
    plain = fit(alone, x, y, **fitting)
    ours = fit(distiller(teacher, student, alpha=0.0), x, y, **fitting)
    assert_same_weights(student, alone, exact=False)
    for name in ("accuracy", "loss", "val_accuracy"):
        np.testing.assert_allclose(ours[name], plain[name], rtol=1e-5)
    if option == "sample_weight":  # "val_loss" is the student's loss on the labels, without a penalty.
        np.testing.assert_allclose(ours["val_loss"], plain["val_loss"], rtol=1e-5)


def test_every_way_to_bring_the_teacher_trains_the_same(data, teacher):
    x, y = data
    logits = teacher(x).numpy()
    weights, models = {}, {}
    start = new_student().get_weights()

    def trained(name, teacher=None, **options):
        model = models.setdefault(teacher, distiller(teacher, new_student(), keras.optimizers.SGD(0.1)))
        model.student.set_weights(start)
        fit(model, shuffle=False, **options)
        weights[name] = model.student.get_weights()

    trained("arrays", teacher, x=x, y=y)
    trained("tensors", teacher, x=tf.constant(x), y=tf.constant(y)[:, None])
    trained("kept logits", x=x, y=y, teacher_logits=logits)
    trained("kept logits beside labels", x=x, y=(y, logits))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    trained("data set", teacher, x=batches, batch_size=None)
    kept = tf.data.Dataset.from_tensor_slices((x, (y, logits))).batch(50)
    trained("data set with logits", x=kept, batch_size=None)
    weighted = tf.data.Dataset.from_tensor_slices((x, (y, logits), np.ones(100))).batch(50)
    trained("data set with logits and weights", x=weighted, batch_size=None)
    generator = ((x[i : i + 50], y[i : i + 50]) for i in (0, 50))
    trained("generator", teacher, x=generator, batch_size=None, steps_per_epoch=2)
    assert np.abs(weights["arrays"][0] - start[0]).max() > 1e-3
    for name, trained_weights in weights.items():
        for a, b in zip(trained_weights, weights["arrays"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def test_an_ensemble_teaches_the_mean_of_its_softened_probabilities(data):
    x, y = data
    teachers = [mlp(FEATURES, (8,), CLASSES, seed=seed) for seed in range(3)]
    for model in teachers:
        model.set_weights([3 * w for w in model.get_weights()])
    student = linear_student()
    model = distiller(teachers, student, keras.optimizers.SGD(0.0), alpha=1.0, compiled={})
    kept = model.teacher_logits(x)
    assert kept.shape == (100, 3, CLASSES)
    assert kept.dtype == np.float32

    def expected(temperature):
        p = np.mean([softmax(teacher(x).numpy(), temperature) for teacher in teachers], axis=0)
        log_q = np.log(softmax(student(x).numpy(), temperature))
        return -(temperature**2) * (p * log_q).sum(axis=1).mean()

    model.temperature = 1.0
    np.testing.assert_allclose(fit(model, x, y)["loss"], expected(1.0), rtol=1e-4)
    model.temperature = 6.0
    np.testing.assert_allclose(fit(model, x, y, teacher_logits=kept)["loss"], expected(6.0), rtol=1e-4)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    np.testing.assert_allclose(fit(model, batches, batch_size=None, shuffle=False)["loss"], expected(6.0), rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    [losses.SoftKLDivergence(), losses.LogitMatching(), losses.DecoupledKnowledgeDistillation(beta=2.0)],
)
def test_other_distillation_losses(data, teacher, loss):
    x, y = data
    student = linear_student()
    model = distiller(teacher, student, keras.optimizers.SGD(0.0), temperature=2.0, distillation_loss=loss)
    history = fit(model, x, y, batch_size=100)
    values = loss.per_sample(teacher_logits=teacher(x), student_logits=student(x), labels=y, temperature=2.0)
    np.testing.assert_allclose(history["distillation_loss"], np.mean(values), rtol=1e-5)


class Batches(keras.utils.PyDataset):
    """Batches of 50 of these arrays."""

    def __init__(self, x, targets):
        super().__init__()
        self.x, self.targets = x, targets

    def __len__(self):
        return len(self.x) // 50

    def __getitem__(self, number):
        rows = slice(50 * number, 50 * number + 50)
        return self.x[rows], keras.tree.map_structure(lambda array: array[rows], self.targets)


@pytest.fixture(scope="module")
def weighted_by_class(data, teacher):
    """Data with unlabelled samples, and the weights of a student trained on them with samples weighed 1, 3, 0, 1 by class."""
    x, y = data
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    student = new_student()
    per_sample = np.where(y < 0, 1.0, np.array([1.0, 3.0, 0.0, 1.0])[y])
    fit(distiller(teacher, student), x, y, sample_weight=per_sample, shuffle=False)
    return x, y, student


@pytest.mark.parametrize(
    ("form", "weights"),
    [
        ("arrays", {1: 3.0, 2: 0.0}),
        ("arrays", np.array([1, 3, 0, 1])),
        ("data set", {1: 3.0, 2: 0.0}),
        ("data set with logits", {1: 3.0, 2: 0.0}),
        ("sequence", [1.0, 3.0, 0.0, 1.0]),
        ("sequence with logits", {1: 3.0, 2: 0.0}),
        ("generator with logits", [1.0, 3.0, 0.0, 1.0]),
    ],
)
def test_class_weights_of_every_form_with_every_form_of_data(weighted_by_class, teacher, form, weights):
    x, y, expected = weighted_by_class
    student, kind = new_student(), form.split()[0]
    targets = (y, teacher(x).numpy()) if form.endswith("with logits") else y
    batches = Batches(x, targets)
    given = {
        "arrays": [x, y],
        "data": [tf.data.Dataset.from_tensor_slices((x, targets)).batch(50)],
        "sequence": [batches],
        "generator": [(batches[k] for k in range(2))],
    }[kind]
    options = {} if kind == "arrays" else {"batch_size": None}
    steps = {"steps_per_epoch": 2} if kind == "generator" else {}
    fit(distiller(teacher, student), *given, class_weight=weights, shuffle=False, **options, **steps)
    assert_same_weights(student, expected, exact=False)


def test_class_weights_and_the_weights_of_a_data_set_are_not_both_taken(data, teacher):
    weighted = tf.data.Dataset.from_tensor_slices((*data, np.ones(100))).batch(25)
    with pytest.raises(ValueError, match="class_weight or sample weights, not both"):
        fit(distiller(teacher), weighted, batch_size=None, class_weight={0: 2.0}, shuffle=False)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"class_weight must be .* one weight for each of 4 classes, got \[1.0, 2.0\]"),
        (2.0, "class_weight must be a dict from classes to weights or one weight for each of 4 classes, got 2.0"),
        ({4: 1.0}, "the classes of class_weight must be whole numbers from 0 to 3, got 4"),
        ({"cat": 1.0}, "the classes of class_weight must be whole numbers from 0 to 3, got 'cat'"),
        ({0: float("nan")}, "the weights of class_weight must be finite numbers of at least 0, got nan"),
    ],
)
def test_class_weights_that_are_none_are_refused(data, teacher, weights, message):
    model = distiller(teacher)
    for given, size in ((data, 32), ([Batches(*data)], None)):
        with pytest.raises(ValueError, match=message):
            fit(model, *given, batch_size=size, class_weight=weights)


# Temperature and alpha.


def test_a_callback_may_set_the_temperature_while_it_trains(data, teacher, linear):
    x, y = data
    linear.alpha, linear.optimizer.learning_rate = 1.0, 0.0
    anneal = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(linear, "temperature", 1.0 + epoch)
    )
    history = fit(linear, x, y, batch_size=len(x), epochs=3, callbacks=anneal)
    z_s, z_t = linear.student(x).numpy(), teacher(x).numpy()
    expected = [distillation_loss(z_s, z_t, y, 1.0 + epoch, 1.0) for epoch in range(3)]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_temperature_and_alpha_are_checked(teacher):
    student = new_student()
    model = kdlab.Distiller(teacher=teacher, student=student)
    for value in (0, -1, float("nan"), "4"):
        with pytest.raises(ValueError, match="temperature must be a finite number above 0, got"):
            model.temperature = value
        with pytest.raises(ValueError, match="temperature must be a finite number above 0, got"):
            kdlab.Distiller(teacher=teacher, student=student, temperature=value)
    for value in (-0.1, 1.1, float("nan"), None):
        with pytest.raises(ValueError, match="alpha must be a number from 0 to 1, got"):
            model.alpha = value
        with pytest.raises(ValueError, match="alpha must be a number from 0 to 1, got"):
            kdlab.Distiller(teacher=teacher, student=student, alpha=value)
    assert (model.temperature, model.alpha) == (4.0, 0.9)


# The teacher.


def test_the_teacher_is_never_changed(data):
    x, y = data
    layers = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    teacher = keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES)])
    teacher.compile("adam", loss=SPARSE(from_logits=True), run_eagerly=True)
    fit(teacher, x, y)
    layers[0].trainable = False
    state = [variable.numpy() for variable in (*teacher.variables, *teacher.optimizer.variables)]
    flags = [layer.trainable for layer in teacher.layers]
    model = distiller(teacher)
    fit(model, x, y)
    fit(model, tf.data.Dataset.from_tensor_slices((x, y)).batch(50), batch_size=None, shuffle=False)
    model.evaluate(x, y, verbose=0)
    model.trainable = False
    after = [variable.numpy() for variable in (*teacher.variables, *teacher.optimizer.variables)]
    for a, b in zip(state, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [layer.trainable for layer in teacher.layers] == flags
    assert teacher.trainable
    assert teacher.predict_function is None
    model.trainable = True
    mine = {id(variable) for variable in model.variables}
    assert not mine & {id(variable) for variable in teacher.variables}
    assert [v.path for v in model.trainable_variables] == [v.path for v in model.student.trainable_variables]


def test_teacher_and_student_are_keyword_only(teacher):
    with pytest.raises(TypeError, match="positional"):
        kdlab.Distiller(teacher, new_student())


# Unlabelled samples, evaluation.


def test_unlabelled_samples_count_in_no_metric(data, teacher):
    x, y = data
    some = np.where(np.arange(len(y)) < 40, -1, y)
    student = linear_student()
    metric = keras.metrics.SparseCategoricalCrossentropy
    metrics = ["accuracy", metric("entropy", from_logits=True)]
    weighted = metric("weighted", from_logits=True)
    model = distiller(teacher, student, keras.optimizers.SGD(0.0), metrics, compiled={"weighted_metrics": [weighted]})
    history = fit(model, x, some, batch_size=20, shuffle=False)  # The first two batches have no label.
    labelled = model.evaluate(x[40:], y[40:], batch_size=20, verbose=0, return_dict=True)
    z = student(x[40:]).numpy()
    assert labelled["accuracy"] == pytest.approx((z.argmax(axis=1) == y[40:]).mean())
    assert labelled["loss"] == pytest.approx(distillation_loss(z, z, y[40:], alpha=0.0), rel=1e-5)
    for name in ("accuracy", "entropy", "weighted"):
        assert history[name][0] == pytest.approx(labelled[name], rel=1e-5)
    every = model.evaluate(x, some, batch_size=20, verbose=0, return_dict=True)
    assert every == pytest.approx(labelled, rel=1e-5)
    assert set(every) == {"loss", "accuracy", "entropy", "weighted"}


def test_no_labels_at_all(data, teacher):
    x, y = data
    students = [new_student(), new_student()]
    fit(distiller(teacher, students[0]), x)
    fit(distiller(teacher, students[1]), x, np.full(len(y), -1))
    assert_same_weights(*students)


def test_evaluate_is_the_students_own_and_needs_no_teacher(data):
    x, y = data
    student = new_student()
    alone = keras.models.clone_model(student)
    alone.set_weights(student.get_weights())
    alone.compile("adam", loss=SPARSE(from_logits=True), metrics=["accuracy"], run_eagerly=True)
    model = distiller(student=student)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), alone.evaluate(x, y, verbose=0), rtol=1e-5)
    weight = np.random.default_rng(1).random(len(x))
    np.testing.assert_allclose(
        model.evaluate(x, y, sample_weight=weight, verbose=0),
        alone.evaluate(x, y, sample_weight=weight, verbose=0),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(model.predict(x, verbose=0), student.predict(x, verbose=0))


# What Keras models do.


def test_callbacks_and_validation(data, teacher, tmp_path):
    x, y = data
    model = distiller(teacher)
    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, min_delta=100.0, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(path, monitor="val_accuracy", save_best_only=True),
    ]
    history = fit(model, x, y, epochs=10, callbacks=callbacks, validation_data=(x[:20], y[:20]))
    assert len(history["val_loss"]) == 2  # It stopped.
    names = ["loss", "student_loss", "distillation_loss", "accuracy"]
    assert set(history) == {*names, "val_loss", "val_accuracy"}
    best = keras.models.load_model(path)
    assert best.evaluate(x[:20], y[:20], verbose=0)[1] == pytest.approx(max(history["val_accuracy"]))


def test_validation_split_takes_the_last_samples(data, teacher):
    x, y = data
    weight = np.random.default_rng(1).random(len(x)).astype(np.float32)
    students = [new_student(), new_student()]
    split = fit(distiller(teacher, students[0]), x, y, sample_weight=weight, validation_split=0.25)
    apart = fit(
        distiller(teacher, students[1]),
        x[:75],
        y[:75],
        sample_weight=weight[:75],
        validation_data=(x[75:], y[75:], weight[75:]),
    )
    assert_same_weights(*students)
    assert split == apart


@pytest.mark.parametrize("teachers", [0, 2])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(data, tmp_path, teachers):
    x, y = data
    """With one teacher it does so in another process."""
    models = [mlp(FEATURES, (8,), CLASSES, seed=seed, name=f"teacher_{seed}") for seed in range(teachers)]
    loss = losses.DecoupledKnowledgeDistillation(beta=2.0)
    model = distiller(models or None, optimizer=keras.optimizers.Adam(0.01), distillation_loss=loss)
    kept = {} if teachers else {"teacher_logits": np.random.default_rng(2).normal(size=(100, CLASSES))}
    fit(model, x, y, batch_size=100, **kept)
    model.temperature, model.alpha = 7.0, 0.3
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert (loaded.temperature, loaded.alpha) == (7.0, 0.3)
    assert_same_weights(loaded, model)
    if teachers:
        assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
        np.testing.assert_array_equal(loaded(x), model(x))
        np.testing.assert_array_equal(loaded.teacher_logits(x), model.teacher_logits(x))
    again = {"seed": 1, "batch_size": 100, **kept}
    assert fit(loaded, x, y, **again) == fit(model, x, y, **again)
    assert_same_weights(loaded, model)


def weights_after_training(kind, loss):
    """The weights of a student of this type after an epoch of a ``loss`` by name; None is that of the labels and logits."""
    random = np.random.default_rng(0)
    x, y = random.random((64, 5)), random.integers(0, 3, 64)
    logits = random.normal(size=(64, 3)).astype(np.float32)
    layer = keras.layers.Dense(3, dtype=kind, kernel_regularizer="l2", activity_regularizer="l2")
    student = keras.Sequential([keras.Input((5,), dtype=kind), layer])
    student.set_weights([np.full((5, 3), 0.1), np.zeros(3)])
    model = kdlab.Distiller(student=student, distillation_loss=loss and getattr(losses, loss)())
    # The types are the same in a graph, which None makes; to make one takes a second.
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=loss is not None)
    model.fit(x, y, teacher_logits=logits, shuffle=False, verbose=0)
    return student.get_weights()


in_float32 = functools.cache(functools.partial(weights_after_training, "float32"))
WIDE = [
    (None, True),
    (None, False),
    ("SoftKLDivergence", True),
    ("LogitMatching", False),
    ("DecoupledKnowledgeDistillation", True),
]


@pytest.mark.parametrize(("loss", "everything"), WIDE)
def test_a_student_in_float64_trains_as_one_in_float32(loss, everything):
    expected = in_float32(loss)
    if everything:
        keras.config.set_floatx("float64")
    try:
        found = weights_after_training("float64", loss)
    finally:
        keras.config.set_floatx("float32")
    for a, b in zip(expected, found, strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_loading_in_another_process(data, teacher, tmp_path, launch):
    x, y = data
    loss = losses.DecoupledKnowledgeDistillation()
    model = distiller(teacher, optimizer=keras.optimizers.Adam(0.01), distillation_loss=loss, compiled={})
    fit(model, x, y)
    model.temperature, model.alpha = 7.0, 0.3
    model.save(tmp_path / "x.keras")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    process = launch(f"""
import os
import kdlab.distiller, keras, numpy as np
os.chdir({str(tmp_path)!r})
model, data = keras.models.load_model("x.keras"), np.load("data.npz")
keras.utils.set_random_seed(1)
model.fit(data["x"], data["y"], batch_size=50, verbose=0)
np.savez("weights.npz", *model.get_weights())
""")
    fit(model, x, y, seed=1)
    process.join(120)
    assert process.exitcode == 0
    there = np.load(tmp_path / "weights.npz")
    for number, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(there[f"arr_{number}"], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "compiled", [{}, {"run_eagerly": True}], ids=["graph", "eager"]
)  # which is given NumPy's arrays
def test_one_batch_at_a_time(data, teacher, compiled):
    x, y = data
    students = [new_student(), new_student(), new_student()]
    model = distiller(teacher, students[0], compiled=compiled)
    logs = model.train_on_batch(x, y, return_dict=True)
    history = fit(distiller(teacher, students[1]), x, y, batch_size=100, shuffle=False)
    assert logs["loss"] == pytest.approx(history["loss"][0], rel=1e-6)
    assert_same_weights(*students[:2], exact=False)
    assert model.test_on_batch(x, y, return_dict=True).keys() == {"loss", "accuracy"}
    given = distiller(None, students[2], compiled=compiled)
    given.train_on_batch(x, (y, teacher(x).numpy()))
    assert_same_weights(*students[1:], exact=False)


def test_compiled_otherwise_it_trains_the_same(data, teacher):
    x, y = data
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    students, accuracies = [], []
    for compiled in ({}, {"jit_compile": True}, {"run_eagerly": True}):
        students.append(new_student())
        accuracies.append(fit(distiller(teacher, students[-1], compiled=compiled), x, y, shuffle=False)["accuracy"])
        assert_same_weights(students[-1], students[0], exact=False)
        assert accuracies[-1] == pytest.approx(accuracies[0])


def test_mixed_precision_student(data, teacher):
    x, y = data
    policy = keras.DTypePolicy("mixed_float16")
    student = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, dtype=policy)])
    history = fit(distiller(teacher, student), x, y)
    assert np.isfinite(history["loss"]).all()


def test_several_inputs(data):
    x, y = data

    def model():
        inputs = {"a": keras.Input((5,), name="a"), "b": keras.Input((7,), name="b")}
        return keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.Concatenate()(list(inputs.values()))))

    history = fit(distiller(model(), model()), {"a": x[:, :5], "b": x[:, 5:]}, y, validation_split=0.2)
    assert np.isfinite(history["val_loss"]).all()


def test_a_student_that_is_not_built_yet(data, teacher):
    x, y = data
    model = distiller(teacher, keras.Sequential([keras.layers.Dense(CLASSES)]), compiled={})
    fit(model, x, y)
    assert model(x).shape == (100, CLASSES)


# What it refuses.


def probabilities(features=FEATURES):
    return keras.Sequential([keras.Input((features,)), keras.layers.Dense(CLASSES, activation="softmax")])


BAD_MODELS = {
    "classes": (dict(teacher=mlp(FEATURES, (), 5)), r"outputs of the same shape, got \(5,\) and \(4,\)"),
    "inputs": (dict(teacher=mlp(9, (), CLASSES)), r"inputs of the same shape, got \(9,\) and \(12,\)"),
    "one of an ensemble": (
        dict(teacher=[mlp(FEATURES, (), CLASSES), mlp(FEATURES, (), 5)]),
        r"outputs of the same shape, got \(5,\) and \(4,\)",
    ),
    "softmax student": (dict(student=probabilities()), "the student's outputs look like probabilities"),
    "softmax teacher": (dict(teacher=probabilities()), "the teacher's outputs look like probabilities"),
    "no model": (dict(teacher="resnet"), "teacher must be a keras.Model, got 'resnet'"),
    "no student": (dict(student=None), "student must be a keras.Model, got None"),
    "no teachers": (dict(teacher=[]), "got an empty list"),
    "one class": (dict(student=mlp(FEATURES, (), 1)), "student must return logits of shape"),
    "loss": (dict(distillation_loss="kl"), "distillation_loss must be a function of .* got 'kl'"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_models_that_do_not_go_together(case):
    arguments, message = BAD_MODELS[case]
    with pytest.raises(ValueError, match=message):
        kdlab.Distiller(**{"student": new_student(), **arguments})


def test_the_same_model_twice(teacher):
    with pytest.raises(ValueError, match="two models, got the same one twice"):
        kdlab.Distiller(teacher=teacher, student=teacher)


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", SPARSE(), SPARSE(from_logits=True, reduction="sum")]
)
def test_losses_it_cannot_use(teacher, loss):
    with pytest.raises(ValueError, match="loss must"):
        kdlab.Distiller(teacher=teacher, student=new_student()).compile(loss=loss)


def with_nan(shape):
    logits = np.zeros(shape)
    logits[3, 1] = np.nan
    return logits


BAD_DATA = {
    "NaN": (dict(teacher_logits=with_nan((100, CLASSES))), "teacher_logits must be finite"),
    "classes": (dict(teacher_logits=np.zeros((100, 5))), r"shape \(100, 4\).*got \(100, 5\)"),
    "rows": (dict(teacher_logits=np.zeros((99, CLASSES))), r"shape \(100, 4\).*got \(99, 4\)"),
    "probabilities": (
        dict(teacher_logits=np.full((100, 4), 0.25)),
        "teacher's outputs look like probabilities",
    ),
    "empty": (dict(x=np.zeros((0, FEATURES), np.float32), y=np.zeros(0)), "transfer set is empty"),
    "nothing left": (dict(validation_split=0.999), "validation_split=0.999 leaves no samples"),
    "one class": (dict(y=np.full(100, 2)), "at least two classes, got only class 2"),
    "labels": (dict(y=np.full(100, CLASSES)), r"y must lie in 0 to 3 \(or -1 .*got 4"),
    "one-hot": (dict(y=np.eye(4)[np.zeros(100, int)]), "one label per sample"),
    "weights": (dict(sample_weight=np.ones(100), class_weight={0: 2.0}), "not both"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_it_cannot_train_on(data, teacher, case):
    arguments, message = BAD_DATA[case]
    model = distiller(teacher)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(**{"x": data[0], "y": data[1], "verbose": 0, **arguments})
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_teacher_and_no_logits(data):
    x, y = data
    model = distiller()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    with pytest.raises(ValueError, match="there is no teacher"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="neither a teacher nor teacher logits"):
        model.fit(batches, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="teacher_logits go with arrays"):
        model.fit(batches, teacher_logits=np.zeros((100, CLASSES)), verbose=0)


def test_a_data_set_without_batches(data, teacher):
    batches = tf.data.Dataset.from_tensor_slices(data).take(0).batch(50)
    with pytest.raises(ValueError, match="transfer set is empty: x yields no batches"):
        distiller(teacher).fit(batches, verbose=0)


def test_a_student_found_to_return_probabilities_only_when_it_meets_data(data, teacher):
    student = keras.Sequential([keras.layers.Dense(CLASSES), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="the student's outputs look like probabilities"):
        distiller(teacher, student).fit(*data, verbose=0)


# Divergence.


def test_divergence_names_the_epoch_and_leaves_the_last_finite_student(data, teacher, tmp_path):
    x, y = data
    model, states = distiller(teacher, compiled={}), []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: states.append(model.get_weights()))
    fatal = keras.callbacks.LearningRateScheduler(lambda epoch, rate: np.inf if epoch == 2 else rate)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 3: .* as it was after epoch 2"):
        fit(model, x, y, epochs=10, callbacks=[fatal, checkpoint, keep])
    assert len(states) == 2
    for weight, kept in zip(model.get_weights(), states[1], strict=True):
        np.testing.assert_array_equal(weight, kept)
    assert np.abs(states[1][0] - states[0][0]).max() > 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]
    assert len(model.history.history["loss"]) == 2
    assert np.isfinite(fit(model, x, y)["loss"]).all()  # The optimizer is sound as well.


def test_divergence_in_the_first_epoch_leaves_the_student_untouched(data, teacher):
    model = distiller(teacher, optimizer=keras.optimizers.SGD(1e38))
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 1: .* as it was before this training"):
        fit(model, *data)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def spoiled(what, x, y, logits, weight):
    """Return these with one value in the second batch of 50 that no loss is a number with."""
    x, y, logits, weight = x.copy(), y.copy(), logits.copy(), weight.copy()
    place, value = {
        "a label beyond the classes": (y, CLASSES),
        "a pixel": (x, np.nan),
        "a weight": (weight, np.nan),
        "an endless weight": (weight, np.inf),
        "a logit": (logits, -np.inf),
    }[what]
    place[60] = value
    return x, (y, logits), weight


LABELS = r"labels .* must lie in 0 to 3 \(or -1 for an unlabelled sample\), got 4 in batch 2"


@pytest.mark.parametrize(
    ("what", "form", "message"),
    [
        ("a label beyond the classes", "data set", LABELS),
        ("a label beyond the classes", "generator", LABELS),
        ("a pixel", "sequence", "the samples of the transfer set must be finite numbers, and those of batch 2 are not"),
        ("a weight", "data set", "the weights of the samples must be finite numbers, and those of batch 2 are not"),
        ("an endless weight", "generator", "the weights of the samples must be finite .* those of batch 2 are not"),
        ("a logit", "generator", "the teacher's logits of the transfer set must be finite .* of batch 2 are not"),
    ],
)
def test_what_makes_a_loss_no_number_is_named_and_the_student_put_back(data, teacher, what, form, message):
    parts = spoiled(what, *data, teacher(data[0]).numpy(), np.ones(100, np.float32))
    batches = tf.data.Dataset.from_tensor_slices(parts).batch(50)
    given = {"data set": batches, "sequence": Batches(*parts[:2]), "generator": (batch for batch in batches)}[form]
    model = distiller(compiled={} if (what, form) == ("a label beyond the classes", "data set") else None)
    before = model.student.get_weights()
    with pytest.raises(ValueError, match=message):
        fit(model, given, batch_size=None, shuffle=False, steps_per_epoch=2 if form == "generator" else None)
    for weight, kept in zip(model.student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_weights_of_arrays_that_are_no_numbers_are_refused(data, teacher):
    model = distiller(teacher)
    for value in (np.nan, np.inf):
        weight = np.ones(100)
        weight[7] = value
        with pytest.raises(ValueError, match="sample_weight must be finite numbers, and some are not"):
            fit(model, *data, sample_weight=weight)


@pytest.mark.parametrize("temperature", [1e20, 1e-30, 10_001, 0.009])
def test_temperatures_that_single_precision_cannot_train_at(teacher, temperature):
    message = f"temperature must be from 0.01 to 10000 to train in single precision, got {temperature:g}"
    model = distiller(teacher)
    for use in (
        lambda: distiller(teacher, temperature=temperature),
        lambda: setattr(model, "temperature", temperature),
        lambda: losses.SoftKLDivergence(temperature),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            use()
    assert model.temperature == 4.0


def squared(teacher_logits, student_logits, temperature):
    """Squared error of the softened logits: a loss of one's own, one per sample."""
    return tf.reduce_mean((teacher_logits - student_logits) ** 2, axis=-1) / temperature


class Doubled(losses.SoftCrossEntropy):
    """Twice the soft term, and more where it is large: at the temperature that it is given."""

    def per_sample(self, *, temperature=None, **logits):
        """Return it, (N,)."""
        return 2 * super().per_sample(temperature=temperature, **logits) * (1 + 0 * tf.constant(1.0) * temperature)


class Mean(losses.SoftCrossEntropy):
    """A subclass that only changes the mean."""

    def compute_loss(self, teacher_outputs, student_outputs, **unused):
        """Return a scalar."""
        return 3 * super().compute_loss(teacher_outputs, student_outputs)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (squared, lambda t, s: np.mean((t - s) ** 2) / 3),
        (lambda t, s, temperature: tf.reduce_mean(squared(t, s, temperature)), lambda t, s: np.mean((t - s) ** 2) / 3),
        (Doubled(), lambda t, s: 2 * soft_term(t, s, 3.0)),
        (Mean(2.0), lambda t, s: 3 * soft_term(t, s, 2.0)),
        (
            keras.distillation.LogitsDistillation(2.0, keras.losses.KLDivergence()),
            lambda t, s: soft_term(t, s, 2.0) - soft_term(t, t, 2.0),
        ),
    ],
)
def test_a_loss_of_ones_own_takes_the_soft_terms_place(data, teacher, loss, wanted):
    x, y = data
    student = linear_student()
    logits = teacher(x).numpy().astype(np.float64), student(x).numpy().astype(np.float64)
    model = distiller(teacher, student, keras.optimizers.SGD(0.0), distillation_loss=loss, temperature=3.0)
    options = {"batch_size": len(x), "sample_weight": np.ones(len(x))}
    history = fit(model, x, y, **options)
    np.testing.assert_allclose(history["distillation_loss"], wanted(*logits), rtol=1e-4)
    model.temperature = 5.0  # also in between
    fit(model, x, y, **options)


def soft_term(teacher, student, temperature):
    """T² times the cross-entropy of the softened answers, the mean over samples."""
    p, log_q = softmax(teacher, temperature), np.log(softmax(student, temperature))
    return -(temperature**2) * np.mean((p * log_q).sum(axis=1))


@pytest.mark.parametrize("loss", [losses.SoftCrossEntropy, 7, ["kl"]])
def test_what_is_no_loss_is_refused(teacher, loss):
    with pytest.raises(ValueError, match="distillation_loss must be a function of"):
        distiller(teacher, distillation_loss=loss)


def test_a_loss_per_sample_and_class_is_refused(data, teacher):
    with pytest.raises(ValueError, match=r"a loss per sample, \(N,\), or their mean, got shape \(.*, 4\)"):
        fit(distiller(teacher, distillation_loss=lambda t, s, temperature: (t - s) ** 2), *data)
