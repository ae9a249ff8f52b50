"""``UNetTrainer`` against steps by hand, and what a seed fixes."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kdlab import unet
from kdlab.backend import keras
from kdlab.datasets import nuclei
from kdlab.live.unet import UNetTrainer
from kdlab.segmentation import dice, load_tiles, overlaps
from kdlab.unet import dice_loss, logits, segment, soft_binary_cross_entropy


@pytest.fixture(scope="module", autouse=True)
def _of_two_levels():
    """They train as those of three do, which take longer to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet, "LEVELS", 2)
        yield


@pytest.fixture(scope="module")
def tiles():
    def few(split, count):
        whole = load_tiles(split)
        chosen = np.argsort(-(whole.classes > 0).sum(axis=(1, 2)))[:count]
        return replace(whole, **{name: getattr(whole, name)[chosen] for name in vars(whole)})

    return few("train", 3), few("validation", 4)


@pytest.fixture(scope="module")
def teacher():
    model = unet.unet(2, seed=5)
    for layer in model.layers:  # Else all its logits are near 0.
        if layer.name == "logits":
            layer.kernel.assign(3 * layer.kernel)
    return model


@pytest.fixture(scope="module")
def trainer(tiles, teacher):
    return UNetTrainer(teacher, 2, *tiles, epochs=2, steps_per_epoch=2, batch_size=4)


@pytest.fixture(scope="module")
def found(trainer):
    return trainer.train(3.0, 0.7, 1, seeds=2)


def same(first, second, tolerance=1e-6):
    return all(
        np.allclose(a, b, atol=tolerance) for a, b in zip(first.get_weights(), second.get_weights(), strict=True)
    )


def test_it_trains_what_its_loss_says_on_the_views_and_their_own_teacher_logits(trainer, found, tiles, teacher):
    """By hand: view after view from the tiles, the teacher run in each step, Dice of the samples with labels alone."""
    student, labelled = unet.unet(2, seed=1), 1
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 4))
    x, y = (np.concatenate(list(nuclei.views(part))) for part in (tiles[0].x, tiles[0].masks()))
    assert len(x) == 24
    counts, said = trainer.labelled(labelled), teacher(x, training=False).numpy()

    def step(x, y, known, said):
        with tf.GradientTape() as tape:
            z = student(x, training=True)
            loss = 0.3 * dice_loss(tf.boolean_mask(z, known), tf.boolean_mask(y, known))
            loss += 0.7 * soft_binary_cross_entropy(z, said, 3.0)
        optimizer.apply(tape.gradient(loss, student.trainable_variables), student.trainable_variables)
        return loss

    optimizer.build(student.trainable_variables)
    order = trainer.batch_order(1, labelled)
    assert order.shape == (2, 2, 4)
    losses = [float(step(x[index], y[index], counts[index], said[index])) for index in order.reshape(-1, 4)]
    np.testing.assert_allclose(found.train_loss[1], np.reshape(losses, (2, 2)).mean(axis=1), rtol=1e-4)
    # Adam's first steps take the sign of what may be rounding; another loss moves the weights farther.
    assert same(found.students[1], student, 0.01)
    assert not same(found.students[1], unet.unet(2, seed=1), 0.02)


def test_labels_are_of_so_many_tiles_in_all_their_views_and_make_half_of_each_batch(trainer):
    two = trainer.labelled(2)
    assert two.reshape(8, 3).sum(axis=1).tolist() == [2] * 8
    assert len(np.unique(two.reshape(8, 3), axis=0)) == 1
    assert trainer.labelled().all()
    assert (two >= trainer.labelled(1)).all()
    order = trainer.batch_order(0, 1)
    assert trainer.labelled(1)[order[..., :2]].all()
    assert not trainer.labelled(1)[order[..., 2:]].all()
    assert set(order[..., :2].ravel()) <= set(np.flatnonzero(trainer.labelled(1)))


def test_dice_after_each_epoch_is_the_students_and_a_stop_keeps_what_there_is(trainer, tiles):
    validation, seen = tiles[1], []

    def watch(done, total, result):
        true = [overlaps(segment(result.students[-1], validation.x), validation.classes)]
        seen.append((done, total, np.nanmean(dice(true[0]))))

    found = trainer.train(seeds=2, progress=watch, stop=lambda: len(seen) == 3)
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4)]
    np.testing.assert_allclose(found.validation_dice.ravel()[:3], [value for *_, value in seen])
    assert np.isnan(found.validation_dice[1, 1])


def test_at_full_weight_the_labels_do_nothing(trainer, found, monkeypatch):
    labelled = [trainer.train(2.0, 1.0).students[0], found.students[0]]
    x, masks, teacher_logits = trainer._arrays
    monkeypatch.setattr(trainer, "_arrays", (x, tf.zeros_like(masks), teacher_logits))
    unlabelled = [trainer.train(2.0, 1.0).students[0], trainer.train(3.0, 0.7, 1).students[0]]
    assert [same(*pair) for pair in zip(labelled, unlabelled, strict=True)] == [True, False]


def test_kept_logits_are_the_teachers_of_each_view_and_batches_do_not_matter(trainer, tiles, teacher):
    views = nuclei.views(tiles[0].x)
    expected = np.concatenate([teacher(view, training=False).numpy() for view in views])
    np.testing.assert_allclose(trainer.teacher_logits, expected, atol=1e-5)
    np.testing.assert_allclose(logits(teacher, views[1], batch_size=2), expected[3:6], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.train(temperature=0), "temperature must be a finite number above 0, got 0"),
        (lambda t: t.train(alpha=-1), "alpha must be a number from 0 to 1, got -1"),
        (lambda t: t.train(alpha=1.5), "alpha must be a number from 0 to 1, got 1.5"),
        (lambda t: t.train(labelled=4), "labelled must be a whole number from 1 to 3, got 4"),
        (lambda t: t.train(seeds=0), "seeds must be a whole number of at least 1, got 0"),
        (lambda t: unet.unet(0), "width must be a whole number of at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(trainer, call, message):
    with pytest.raises(ValueError, match=message):
        call(trainer)


def test_a_training_that_diverges_is_said(trainer, monkeypatch):
    x, *targets = trainer._arrays
    monkeypatch.setattr(trainer, "_arrays", (x * np.nan, *targets))
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1: the loss is nan"):
        trainer.train()
    monkeypatch.undo()
    assert np.isfinite(trainer.train().train_loss).all()


def test_a_seed_fixes_a_run_also_as_one_of_kinds_which_are_kept(trainer, found):
    """Without weight the teacher and its temperature do nothing."""
    keras.utils.set_random_seed(99)
    kinds = {"alone": {"temperature": 2.0, "alpha": 0.0}, "distilled": {"temperature": 3.0, "alpha": 0.7}}
    kinds = {name: {**settings, "labelled": 1} for name, settings in kinds.items()}
    trained = trainer.train_kinds(kinds, 1)
    for name, before in {"alone": trainer.train(4.0, 0.0, 1), "distilled": found}.items():
        np.testing.assert_allclose(trained[name].train_loss, before.train_loss[:1], rtol=1e-4)
        assert same(trained[name].students[0], before.students[0])
    assert not same(trained["alone"].students[0], found.students[0])
    assert not same(*found.students)
    assert trainer.train_kinds(kinds, 1) == trained
