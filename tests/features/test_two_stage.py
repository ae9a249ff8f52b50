"""The hint stage against a plain loop: what it trains, what it leaves alone, and the stage that follows."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kdlab
from kdlab.features.losses import attention, attention_map
from kdlab.features.two_stage import hint_stage

CLASSES = 4


def cnn(width, seed):
    """Batch norm and a penalty below the layer that is tapped, "maps", and both above it."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(width, 3, use_bias=False, kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.ReLU(name="maps"),
            layers.Flatten(),
            layers.Dense(8, kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dense(CLASSES),
        ]
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((48, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def teacher():
    return cnn(6, seed=1)


def distiller(teacher, student, method="hint"):
    return kdlab.Distiller(
        teacher=teacher, student=student, features=kdlab.FeatureDistillation(method, [("maps", "maps")])
    )


def weights(*layers):
    return [np.array(w) for layer in layers for w in layer.get_weights()]


def assert_same(first, second, **tolerance):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-4, "atol": 1e-6}))


@pytest.mark.parametrize("method", ["hint", "attention"])
@pytest.mark.parametrize("source", ["arrays", "kept features", "data set"])
def test_the_stage_against_a_plain_loop(x, teacher, method, source):
    student, plain = cnn(3, seed=2), cnn(3, seed=2)
    model = distiller(teacher, student, method)
    projector = [keras.Variable(w) for w in model.feature_term.get_weights()]
    assert len(projector) == (2 if method == "hint" else 0)
    upper, whole = weights(*student.layers[3:]), weights(teacher)

    given = {"x": x, "batch_size": 16}
    if source == "kept features":
        given["teacher_features"] = model.teacher_features(x)
    if source == "data set":
        given = {"x": tf.data.Dataset.from_tensor_slices((x, np.zeros(48))).batch(16)}
    history = hint_stage(model, **given, optimizer=keras.optimizers.SGD(0.1), epochs=2, shuffle=False, verbose=0)

    conv, norm, relu = plain.layers[:3]
    optimizer, losses = keras.optimizers.SGD(0.1), []
    target = teacher.layers[2](teacher.layers[1](teacher.layers[0](x), training=False)).numpy()
    for start in [0, 16, 32] * 2:
        with tf.GradientTape() as tape:
            maps = relu(norm(conv(x[start : start + 16]), training=True))
            wanted = target[start : start + 16]
            if method == "hint":
                kernel, bias = projector
                value = tf.reduce_mean((tf.tensordot(maps, kernel.value, 1) + bias.value - wanted) ** 2)
            else:
                pair = {"teacher_features": attention_map(wanted), "student_features": attention_map(maps)}
                value = tf.reduce_mean(attention(**pair))
            value += 0.01 * tf.reduce_sum(conv.kernel.value**2)
        variables = [*conv.trainable_variables, *norm.trainable_variables, *projector]
        gradients = tape.gradient(value, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        losses.append(float(value))
    assert_same(weights(*student.layers[:3]), weights(conv, norm, relu))
    assert_same(weights(model.feature_term), [v.numpy() for v in projector])
    np.testing.assert_allclose(history.history["loss"], np.mean(np.reshape(losses, (2, 3)), axis=1), rtol=1e-4)
    assert_same(weights(*student.layers[3:]), upper, rtol=0)  # Batch norm and the penalised layer too.
    assert_same(weights(teacher), whole, rtol=0)


@pytest.mark.parametrize("method", ["hint", "similarity", "relational"])
def test_a_student_in_float64(x, teacher, method):
    kept = []
    for kind in ("float32", "float64"):
        keras.utils.set_random_seed(2)
        maps = layers.Dense(6, dtype=kind, kernel_regularizer="l2", name="maps")
        student = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Flatten(dtype=kind), maps, layers.Dense(4, dtype=kind)]
        )
        student.set_weights(
            [np.random.default_rng(k).normal(0, 0.1, w.shape) for k, w in enumerate(student.get_weights())]
        )
        flat = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(9, name="maps"), layers.Dense(4)]
        )
        keras.utils.set_random_seed(3)
        hint_stage(distiller(flat, student, method), x, optimizer=keras.optimizers.SGD(0.1), shuffle=False, verbose=0)
        kept.append(weights(student))
    for a, b in zip(*kept, strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_weights_of_samples(x, teacher):
    """Half the samples weigh nothing: the stage sees the other half."""
    students, x = [cnn(3, seed=2), cnn(3, seed=2)], x[:, ::-1]
    for student in students:
        student.layers[1].trainable = False  # Batch norm would see all of them.
    models = [distiller(teacher, student, "attention") for student in students]
    weight = np.repeat([0.0, 2.0], 24).astype(np.float32)
    options = {"optimizer": "sgd", "batch_size": 48, "verbose": 0}
    hint_stage(models[0], x, sample_weight=weight, **options)
    hint_stage(models[1], x[24:], **options)
    assert_same(weights(students[0]), weights(students[1]))


def test_then_the_second_stage(x, teacher):
    """Where the distiller's feature_alpha is 0 the projector stays, and the student is trained as without features."""
    y = np.arange(48) % CLASSES
    students = [cnn(3, seed=2), cnn(3, seed=2)]
    models = [distiller(teacher, student) for student in students]
    models[1].feature_term.set_weights(models[0].feature_term.get_weights())
    for model in models:
        keras.utils.set_random_seed(0)
        hint_stage(model, x, optimizer="sgd", verbose=0)
    models[0].feature_alpha = 0.0
    models[1] = kdlab.Distiller(teacher=teacher, student=students[1])
    projector = weights(models[0].feature_term)
    for model in models:
        model.compile(keras.optimizers.SGD(0.01))
        keras.utils.set_random_seed(0)
        model.fit(x, y, verbose=0)
    assert_same(weights(students[0]), weights(students[1]))
    assert_same(weights(models[0].feature_term), projector, rtol=0)


def test_divergence_is_said_and_undone(x, teacher):
    model = distiller(teacher, cnn(3, seed=2))
    before = weights(model)
    with pytest.raises(FloatingPointError, match="diverged in epoch 1"):
        hint_stage(model, x, optimizer=keras.optimizers.SGD(1e38), verbose=0)
    assert_same(weights(model), before, rtol=0)


def test_what_it_refuses(x, teacher):
    with pytest.raises(ValueError, match=r"hint_stage needs a kdlab\.Distiller with features="):
        hint_stage(kdlab.Distiller(teacher=teacher, student=cnn(3, seed=2)), x)
    model = distiller(teacher, cnn(3, seed=2))
    features = model.teacher_features(x)
    for wrong in (iter([x]), tf.data.Dataset.from_tensor_slices(x).batch(9)):
        with pytest.raises(ValueError, match=r"x must be arrays, or a tf\.data\.Dataset and no teacher_features"):
            hint_stage(model, wrong, teacher_features=features)
