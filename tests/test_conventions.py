"""Every source's loss, written down as the source has it, has scale times our gradient; the snippets too."""

import contextlib
import math
import re
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from kdlab.backend import keras, tf
from kdlab.conventions import CONVENTIONS, code, from_ours, to_ours
from kdlab.softening import distillation_gradient, distillation_loss, entropy, softmax

# No deadline: on a busy machine a slow example is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

RANDOM = np.random.default_rng(1)
STUDENT = RANDOM.normal(0, 2, (7, 5))
TEACHER = RANDOM.normal(0, 3, (7, 5))
LABELS = np.array([0, 1, 2, 3, 4, 2, 0])

rows = st.sampled_from(sorted(CONVENTIONS))
temperatures = st.floats(0.1, 100)
positive = st.floats(1e-3, 1e3)


# --- the losses as their sources write them


def hard_loss(z):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, z))


def keras_divergence(z, temperature):
    loss = keras.losses.KLDivergence(dtype="float64")
    return loss(tf.nn.softmax(TEACHER / temperature), tf.nn.softmax(z / temperature))


def torch_divergence(z, temperature):
    p = special.softmax(TEACHER / temperature, axis=1)
    return tf.reduce_sum(p * (np.log(p) - tf.nn.log_softmax(z / temperature))) / len(LABELS)


def two_headed(z, temperature, lambda_):
    outputs = tf.concat([tf.nn.softmax(z), tf.nn.softmax(z / temperature)], axis=1)
    labels = tf.concat([tf.one_hot(LABELS, 5, dtype=tf.float64), TEACHER], axis=1)
    hard = -tf.reduce_sum(labels[:, :5] * tf.math.log(outputs[:, :5]), axis=1)
    soft = -tf.reduce_sum(tf.nn.softmax(labels[:, 5:] / temperature) * tf.math.log(outputs[:, 5:]), axis=1)
    return tf.reduce_mean(lambda_ * hard + soft)


SOURCES = {
    "kdlab": lambda z, t, alpha: (
        (1 - alpha) * hard_loss(z)
        + alpha * t**2 * tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(TEACHER / t), z / t))
    ),
    "keras.io": lambda z, t, alpha: alpha * hard_loss(z) + (1 - alpha) * keras_divergence(z, t) * t**2,
    "keras.io 2020": lambda z, t, alpha: alpha * hard_loss(z) + (1 - alpha) * keras_divergence(z, t),
    "keras.distillation": lambda z, t, student_loss_weight: (
        student_loss_weight * hard_loss(z)
        + (1 - student_loss_weight)
        * keras.distillation.LogitsDistillation(t, keras.losses.KLDivergence(dtype="float64")).compute_loss(
            tf.constant(TEACHER), z
        )
    ),
    "two-headed": two_headed,
    "scaledown": lambda z, t, alpha: alpha * hard_loss(z) + (1 - alpha) * keras_divergence(z, t),
    "Intel Distiller": lambda z, t, student, distill: student * hard_loss(z) + distill * torch_divergence(z, t) * t**2,
    "RepDistiller": lambda z, t, gamma, alpha: gamma * hard_loss(z) + alpha * torch_divergence(z, t) * t**2,
}

OTHER_WEIGHTS = {
    "kdlab": {"alpha": 0.25},
    "keras.io": {"alpha": 0.65},
    "keras.io 2020": {"alpha": 0.65},
    "keras.distillation": {"student_loss_weight": 0.8},
    "two-headed": {"lambda_": 3.0},
    "scaledown": {"alpha": 0.9},
    "Intel Distiller": {"student": 0.2, "distill": 1.7},
    "RepDistiller": {"gamma": 2.0, "alpha": 0.3},
}


def gradient_of(loss):
    """The gradient with respect to the student's logits, in float64."""
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        value = loss(student)
    return tape.gradient(value, student).numpy()


def assert_same_gradient(theirs, temperature, alpha, scale=1.0, tolerance=1e-9):
    ours = scale * distillation_gradient(STUDENT, TEACHER, LABELS, temperature, alpha)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=tolerance * np.abs(ours).max())


@pytest.mark.parametrize("temperature", [1.0, 2.5, 10.0])
@pytest.mark.parametrize("weights", ["default", "other"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_gradient_of_the_source_is_scale_times_ours(name, weights, temperature):
    weights = CONVENTIONS[name].weights if weights == "default" else OTHER_WEIGHTS[name]
    theirs = gradient_of(lambda z: SOURCES[name](z, temperature, **weights))
    alpha, scale = to_ours(name, temperature, **weights)
    assert_same_gradient(theirs, temperature, alpha, scale)


@pytest.mark.parametrize("alpha", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 10.0])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_weights_for_our_position_give_our_gradient(name, temperature, alpha):
    weights, scale = from_ours(name, temperature, alpha)
    theirs = gradient_of(lambda z: SOURCES[name](z, temperature, **weights))
    assert_same_gradient(theirs, temperature, alpha, scale)


# --- numbers to quote


def test_two_headed_student_trained_on_hard_labels_almost_alone():
    alpha, scale = to_ours("two-headed", 10, lambda_=0.5)
    assert alpha == pytest.approx(1 / 51, rel=1e-12)
    assert round(alpha, 4) == 0.0196
    assert scale == pytest.approx(0.51, rel=1e-12)


@given(st.floats(1e-3, 100), temperatures)
def test_two_headed_formula(weight, temperature):
    alpha, scale = to_ours("two-headed", temperature, lambda_=weight)
    assert alpha == pytest.approx(1 / (1 + weight * temperature**2), rel=1e-9)
    assert scale == pytest.approx(weight + 1 / temperature**2, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "temperature", "alpha", "scale"),
    [
        ("kdlab", 4, 0.9, 1.0),
        ("keras.io", 10, 0.9, 1.0),
        # Without T² its alpha of 0.1, "one tenth hard labels", is eleven twelfths.
        ("keras.io 2020", 10, 0.009 / 0.109, 0.109),
        ("keras.distillation", 3, 0.5, 1.0),
        ("two-headed", 10, 0.01 / 0.51, 0.51),
        ("scaledown", 1, 0.7, 1.0),
        ("Intel Distiller", 1, 0.5, 1.0),
        ("RepDistiller", 4, 0.9, 1.0),
    ],
)
def test_defaults_of_every_source(name, temperature, alpha, scale):
    row = CONVENTIONS[name]
    assert (row.name, row.temperature) == (name, temperature)
    assert to_ours(name, temperature) == pytest.approx((alpha, scale), rel=1e-12)
    assert to_ours(row, temperature) == to_ours(name, temperature)  # by name or by row
    assert len(row.source) > 20


def test_no_source_is_left_untested():
    assert set(SOURCES) == set(OTHER_WEIGHTS) == set(CONVENTIONS)


# --- round trips


@given(rows, temperatures, positive, positive)
def test_round_trip_from_a_source_to_ours_and_back(name, temperature, hard, soft):
    weights = CONVENTIONS[name].weights_for(hard, soft)
    alpha, scale = to_ours(name, temperature, **weights)
    back, same_scale = from_ours(name, temperature, alpha, scale)
    assert same_scale == pytest.approx(scale, rel=1e-9)
    assert back == pytest.approx(weights, rel=1e-5, abs=1e-9)


@given(rows, temperatures, st.floats(1e-3, 1))
def test_round_trip_from_ours_to_a_source_and_back(name, temperature, alpha):
    weights, scale = from_ours(name, temperature, alpha)
    assert to_ours(name, temperature, **weights) == pytest.approx((alpha, scale), rel=1e-9, abs=1e-12)


@given(st.sampled_from(["Intel Distiller", "RepDistiller"]), temperatures, st.floats(0, 1), positive)
def test_two_weights_can_express_every_scale(name, temperature, alpha, scale):
    weights, same_scale = from_ours(name, temperature, alpha, scale)
    assert sum(weights.values()) == pytest.approx(scale, rel=1e-9)
    assert same_scale == pytest.approx(scale, rel=1e-9)


@given(temperatures, st.floats(0, 1))
def test_one_weight_with_the_square_has_scale_1(temperature, alpha):
    for name, hard in (("kdlab", False), ("keras.io", True), ("keras.distillation", True)):
        weights, scale = from_ours(name, temperature, alpha)
        assert list(weights.values()) == pytest.approx([1 - alpha if hard else alpha], abs=1e-15)
        assert scale == pytest.approx(1, rel=1e-12)


def test_one_weight_without_the_square_implies_its_scale():
    # alpha = .9 at T = 10 wants 900 times the hard weight on the soft loss: .1 / 90.1 and 90 / 90.1.
    weights, scale = from_ours("scaledown", 10, 0.9)
    assert weights == pytest.approx({"alpha": 0.1 / 90.1}, rel=1e-12)
    assert scale == pytest.approx(1 / 90.1, rel=1e-12)
    assert from_ours("scaledown", 10, 0.9, scale)[0] == weights


@pytest.mark.parametrize("name", ["kdlab", "keras.io", "keras.io 2020", "keras.distillation", "two-headed"])
def test_a_scale_that_one_weight_cannot_express_is_refused_and_the_right_one_named(name):
    implied = from_ours(name, 10, 0.9)[1]
    with pytest.raises(ValueError, match=re.escape(f"scale must be {implied:.6g} for {name!r}")) as caught:
        from_ours(name, 10, 0.9, scale=2.0)
    assert "got 2.0" in str(caught.value)


def test_a_row_that_always_has_the_soft_loss_cannot_leave_it_out():
    with pytest.raises(ValueError, match=r"alpha must be above 0 for 'two-headed'.* got 0\.0"):
        from_ours("two-headed", 10, 0)
    assert from_ours("two-headed", 10, 1) == ({"lambda_": 0.0}, pytest.approx(0.01))


# --- refusals


@pytest.mark.parametrize("convention", ["keras", "", None, 3, ["kdlab"]])
def test_unknown_convention(convention):
    for call in (to_ours, lambda *a: from_ours(*a, 0.5)):
        with pytest.raises(ValueError, match=re.escape(f"got {convention!r}")) as caught:
            call(convention, 4)
        assert "'two-headed'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("two-headed", {"alpha": 0.5}, "weights of 'two-headed' must be among lambda_, got alpha"),
        ("two-headed", {"lambda_": -1}, "got lambda_=-1: -1 on the hard loss, 1 on the soft loss"),
        ("keras.io", {"alpha": 1.5}, "got alpha=1.5: 1.5 on the hard loss, -0.5 on the soft loss"),
        ("RepDistiller", {"gamma": 0, "alpha": 0}, "0 on the hard loss, 0 on the soft loss"),
        ("RepDistiller", {"gamma": math.nan}, "gamma must be a finite number, got nan"),
        ("RepDistiller", {"alpha": math.inf}, "alpha must be a finite number, got inf"),
        ("RepDistiller", {"alpha": "0.9"}, "alpha must be a finite number, got '0.9'"),
        ("RepDistiller", {"alpha": True}, "alpha must be a finite number, got True"),
        ("RepDistiller", {"alpha": None}, "alpha must be a finite number, got None"),
    ],
)
def test_weights_refused(name, weights, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_ours(name, 4, **weights)


def test_positions_refused():
    for temperature in (0, -1, math.inf, "4", None, True):
        with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
            to_ours("keras.io", temperature)
        with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
            code("keras", temperature, 0.5)
    for alpha in (-0.1, 1.1, math.nan, "0.5", None, True):
        with pytest.raises(ValueError, match="alpha must be a number from 0 to 1"):
            from_ours("keras.io", 4, alpha)
        with pytest.raises(ValueError, match="alpha must be a number from 0 to 1"):
            code("keras", 4, alpha)
    for scale in (0, -1, math.nan):
        with pytest.raises(ValueError, match="scale must be a finite number above 0"):
            from_ours("RepDistiller", 4, 0.5, scale)
    for temperature in (1e200, 1e-200):
        with pytest.raises(ValueError, match="temperature must have a square"):
            to_ours("keras.io", temperature)
    with pytest.raises(ValueError, match=r"target must be one of 'keras', 'keras\.distillation', 'pytorch'"):
        code("tensorflow", 4, 0.5)


# --- the snippets run, and train with our loss

POSITIONS = [(4, 0.9), (2.5, 0.0), (10, 0.0196), (1, 1.0)]


def linear(kernel):
    """A model whose logits on the identity matrix are ``kernel``: its weights are its logits."""
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5, use_bias=False)])
    model.set_weights([kernel])
    return model


def run_snippet(target, temperature, alpha):
    names = {
        "teacher": linear(TEACHER),
        "student": linear(STUDENT),
        "x_train": np.eye(7, dtype=np.float32),
        "y_train": LABELS,
    }
    exec(compile(code(target, temperature, alpha, epochs=3), target, "exec"), names)
    return names


def gradient_of_keras(names):
    """Of the snippet's own loss, at the student's first weights."""
    targets = tf.constant(names["targets"], tf.float32)
    return gradient_of(lambda z: tf.reduce_mean(names["distillation_loss"](targets, tf.cast(z, tf.float32))))


def gradient_of_keras_distillation(names):
    with tf.GradientTape() as tape:
        loss = names["distiller"].compute_loss(names["x_train"], LABELS)
    return tape.gradient(loss, names["student"].trainable_variables[0]).numpy()


GRADIENTS = {"keras": gradient_of_keras, "keras.distillation": gradient_of_keras_distillation}


@pytest.mark.parametrize("target", GRADIENTS)
def test_keras_snippets_train_with_our_loss(target):
    names = run_snippet(target, 4, 0.9)

    def loss(logits):
        return distillation_loss(logits, TEACHER, LABELS, 4, 0.9)

    assert loss(names["student"].get_weights()[0]) < loss(STUDENT)
    np.testing.assert_array_equal(names["teacher"].get_weights()[0], TEACHER.astype(np.float32))
    names["student"].set_weights([STUDENT])
    assert_same_gradient(GRADIENTS[target](names), 4, 0.9, tolerance=1e-5)


@pytest.mark.parametrize(("temperature", "alpha"), POSITIONS[1:])
@pytest.mark.parametrize("target", GRADIENTS)
def test_the_loss_of_keras_snippets_is_ours_at_every_position(target, temperature, alpha, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: None)  # the other test trains
    names = run_snippet(target, temperature, alpha)
    assert_same_gradient(GRADIENTS[target](names), temperature, alpha, tolerance=1e-5)


@pytest.fixture
def torch_in_numpy(monkeypatch):
    """Stand-ins, after PyTorch's documentation, for what the snippet calls: PyTorch itself is not needed."""

    def kl_div(log_q, p, reduction):
        assert reduction == "batchmean"
        return (p * (np.log(p) - log_q)).sum() / len(p)

    functional = types.ModuleType("torch.nn.functional")
    functional.softmax = lambda z, dim: special.softmax(z, axis=dim)
    functional.log_softmax = lambda z, dim: special.log_softmax(z, axis=dim)
    functional.cross_entropy = lambda z, y: -special.log_softmax(z, axis=1)[np.arange(len(y)), y].mean()
    functional.kl_div = kl_div
    torch, nn = types.ModuleType("torch"), types.ModuleType("torch.nn")
    torch.nn, nn.functional, torch.no_grad = nn, functional, contextlib.nullcontext
    for module in (torch, nn, functional):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("torch_in_numpy")
@pytest.mark.parametrize(("temperature", "alpha"), POSITIONS)
def test_pytorch_snippet(temperature, alpha):
    calls = []

    class Loss(float):
        def backward(self):
            calls.append("backward")

    class Model(types.SimpleNamespace):
        def __call__(self, x):
            return self.logits

    names = {
        "teacher": Model(logits=TEACHER, eval=lambda: calls.append("teacher.eval")),
        "student": Model(logits=STUDENT, train=lambda: calls.append("student.train")),
        "optimizer": types.SimpleNamespace(
            zero_grad=lambda: calls.append("zero_grad"), step=lambda: calls.append("step")
        ),
        "loader": [],
    }
    program = compile(code("pytorch", temperature, alpha), "pytorch", "exec")
    exec(program, names)
    # The divergence leaves out the teacher's entropy, which no student can change.
    constant = alpha * temperature**2 * entropy(softmax(TEACHER, temperature)).mean()
    expected = distillation_loss(STUDENT, TEACHER, LABELS, temperature, alpha) - constant
    assert names["distillation_loss"](STUDENT, TEACHER, LABELS) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert calls == ["teacher.eval", "student.train"]

    # The loop: gradients are cleared before, the step comes after the backward pass.
    loop = code("pytorch", temperature, alpha).split("for x, labels in loader:\n")[1]
    names.update(loader=[(None, LABELS)], distillation_loss=lambda *logits: Loss(0))
    exec("for x, labels in loader:\n" + loop, names)
    assert calls[2:] == ["zero_grad", "backward", "step"]


@pytest.mark.parametrize("target", ["keras", "keras.distillation", "pytorch"])
def test_snippets_have_the_numbers_of_the_position_and_no_kdlab(target):
    text = code(target, 2.5, 0.7)
    assert "2.5" in text
    assert "0.7" in text
    assert "kdlab" not in text
    assert "{" not in text
    assert max(map(len, text.splitlines())) <= 110
    if target == "keras.distillation":
        assert "student_loss_weight=0.3," in text  # not 0.30000000000000004
