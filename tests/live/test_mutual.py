"""Mutual learning against a loop with two Keras models."""

from dataclasses import replace

import numpy as np
import pytest

import kdlab
from kdlab import models
from kdlab.backend import keras, tf
from kdlab.datasets.dataset import Split
from kdlab.live.program import loss_and_gradient
from kdlab.live.trainer import SECOND, LiveTrainer
from kdlab.softening import softmax

SAMPLES, SEEDS = 133, 2  # two batches of 64 and one of 5


@pytest.fixture(scope="module")
def data():
    data = kdlab.load("digits")
    labels = np.where(np.arange(SAMPLES) % 5, data.train.y[:SAMPLES], -1).astype(np.int32)
    return replace(data, train=Split(data.train.x[:SAMPLES], labels))


@pytest.fixture(scope="module")
def trainer(data):
    logits = np.random.default_rng(0).normal(size=(SAMPLES, 10))
    return LiveTrainer(data, models.mlp(), logits, epochs=3)


@pytest.fixture(scope="module")
def mutual(trainer):
    return trainer.train_mutually(temperature=2.0, alpha=0.4, seeds=SEEDS)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_students_teach_each_other_as_two_keras_models_would(trainer, data, mutual, seed):
    """Both take a step from the answers of both before it; an unlabelled sample has the other's answer only."""
    students, optimizers = [models.mlp() for _ in range(2)], [keras.optimizers.Adam(0.01) for _ in range(2)]
    for student, start in zip(students, (seed, seed + SECOND), strict=True):
        student.set_weights(trainer.initial_weights(start))
    losses = []
    for order in trainer.batch_order(seed):
        sums = np.zeros(2)
        for batch in np.split(order, range(64, SAMPLES, 64)):
            labels = data.train.y[batch]
            answers = [student(data.train.x[batch]) for student in students]
            for which, (student, optimizer) in enumerate(zip(students, optimizers, strict=True)):
                with tf.GradientTape() as tape:
                    logits = student(data.train.x[batch])
                    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(np.maximum(labels, 0), logits)
                    soft = tf.nn.softmax_cross_entropy_with_logits(
                        tf.nn.softmax(answers[1 - which] / 2.0), logits / 2.0
                    )
                    loss = tf.reduce_mean(tf.where(labels < 0, 0.0, 0.6 * hard) + 0.4 * 2.0**2 * soft)
                optimizer.apply(tape.gradient(loss, student.trainable_variables), student.trainable_variables)
                sums[which] += float(loss) * len(batch)
        losses.append(sums / SAMPLES)
    for which, (student, result) in enumerate(zip(students, mutual, strict=True)):
        for ours, theirs in zip(result.weights, student.get_weights(), strict=True):
            np.testing.assert_allclose(ours[seed], theirs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(result.train_loss[seed], np.array(losses)[:, which], rtol=1e-4)
        np.testing.assert_allclose(result.test_logits[seed], student(data.test.x), rtol=1e-4, atol=1e-4)


def test_the_papers_loss_has_twice_the_gradient_of_ours():
    """Zhang et al. 2018, equations 2 and 5: CE(y, q) + KL(p ‖ q), p the other's probabilities; here T = 1 and α = ½."""
    random = np.random.default_rng(0)
    logits, other = random.normal(size=(2, 6, 5)).astype(np.float32)
    one_hot, probabilities = np.eye(5, dtype=np.float32)[random.integers(0, 5, 6)], softmax(other)
    student = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(student)
        paper = keras.losses.categorical_crossentropy(one_hot, student, from_logits=True)
        paper += keras.losses.kl_divergence(probabilities, tf.nn.softmax(student))
    target = 0.5 * one_hot + 0.5 * probabilities
    _, ours = loss_and_gradient(tf.transpose(student)[None, None], target.T[None, None], 0.5, 0.5, 1.0)
    np.testing.assert_allclose(2 * np.transpose(ours[0, 0]), tape.gradient(paper, student), atol=1e-6)


def test_pairs_that_do_not_listen_are_students_alone(trainer, mutual):
    alone, (first, second) = trainer.train(alpha=0.0, seeds=SEEDS), trainer.train_mutually(alpha=0.0, seeds=SEEDS)
    np.testing.assert_allclose(first.test_logits, alone.test_logits, rtol=1e-5, atol=1e-5)
    assert not np.allclose(second.test_logits, alone.test_logits, atol=0.1)
    assert not np.allclose(mutual[0].test_logits, alone.test_logits, atol=0.1)


def test_pairs_are_nested(trainer, mutual):
    few = trainer.train_mutually(2.0, 0.4, seeds=1)
    for result, one in zip(mutual, few, strict=True):
        np.testing.assert_allclose(result.test_logits[:1], one.test_logits, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused(trainer):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, got 0"):
        trainer.train_mutually(temperature=0)
    with pytest.raises(ValueError, match="seeds must be few enough for memory_limit"):
        trainer.train_mutually(seeds=10**6)
