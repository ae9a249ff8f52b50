"""The whole training of many students as one compiled program: every epoch, every step, every seed.

Axes are those of ``batched``. The response loss and its gradient by the logits are written out; a tape carries
them, and the feature loss's gradients by hidden values, back to the weights.
"""

from functools import lru_cache, partial

from ..backend import tf
from .batched import Product, apply, apply_all
from .batched_features import tied_loss
from .stable_names import with_stable_names


@lru_cache(maxsize=64)
def training_program(steps, ties=None, mutual=False):
    """Return the whole training of students of these ``steps``: compiled once per shape of its arguments.

    With ``ties``, a ``FeatureTies``, φ · L_feature + (1 − φ) · L is trained, where L_feature is the mean over
    ties: behind the student's weights are then those of the projectors, and ``tables`` has a ``teacher_table``
    for every tie. Where it is ``mutual``, the two students of a seed are each other's teacher in place of ``soft``.
    """
    own = sum(1 + step.use_bias for step in steps if isinstance(step, Product))

    @partial(with_stable_names, key=(ties, mutual, [getattr(step, "__name__", repr(step)) for step in steps]))
    @partial(tf.function, jit_compile=True, autograph=False)
    def run(weights, tables, order, soft, temperature, alpha, feature_alpha, learning_rate, tests, keep_epochs):
        """Train. ``order`` (epochs, steps, K, B) are indices, ``soft`` (N, G, C) the teacher's, T, α, φ (G,)."""
        students, (epochs, batches) = weights[0].shape[:2], order.shape[:2]
        temperature, alpha, feature_alpha = (v[:, None, None] for v in (temperature, alpha, feature_alpha))
        target = (1 - alpha[:, 0]) * tables["one_hot"][:, None]
        if not mutual:
            target += (alpha * temperature)[:, 0] * soft
        labelled = tf.reduce_sum(tables["one_hot"], axis=1)

        def step(epoch, batch, weights, means, squares, sums):
            index, share = order[epoch, batch], tables["share_of_batch"][batch]
            x = tf.gather(tables["x"], index)
            with tf.GradientTape() as tape:
                tape.watch(weights[:own])
                values = apply_all(steps, weights, x)
            batch_target = tf.transpose(tf.gather(target, index), (0, 2, 3, 1))
            if mutual:
                batch_target += alpha * temperature * tf.nn.softmax(values[-1][:, ::-1] / temperature, axis=2)
            loss, gradient = loss_and_gradient(
                values[-1],
                batch_target,
                (1 - alpha) * tf.gather(labelled, index)[:, None, None],
                alpha * temperature,
                temperature,
            )
            losses, by_values, by_projectors = [loss], {len(steps) - 1: gradient * share}, []
            if ties:
                tied = tied_loss(ties, tables["ties"], index, share, values, weights[own:])
                losses, by_values, by_projectors = _weigh(feature_alpha, tied, loss, by_values)
            gradients = tape.gradient(
                [values[k] for k in by_values], weights[:own], output_gradients=list(by_values.values())
            )
            share = tables["share_of_epoch"][batch] * share
            sums = [total + loss * share for total, loss in zip(sums, losses, strict=True)]
            number = tf.cast(epoch * batches + batch + 1, tf.float32)
            moved = adam(weights, means, squares, [*gradients, *by_projectors], number, learning_rate)
            return epoch, batch + 1, *moved, sums

        def one_epoch(epoch, weights, means, squares, curves, kept):
            _, _, weights, means, squares, sums = tf.while_loop(
                lambda _, batch, *__: batch < batches,
                step,
                (epoch, 0, weights, means, squares, [tf.zeros((*students, order.shape[-1]))] * (2 if ties else 1)),
            )
            answers = tf.argmax(apply(steps, weights, tables["held_out_x"]), axis=2, output_type=tf.int32)
            right = tf.cast(answers == tables["held_out_y"], tf.float32)
            values = (
                *(tf.reduce_mean(part, axis=-1) for part in (right[..., :-tests], right[..., -tests:])),
                *(tf.reduce_sum(loss, axis=-1) for loss in sums),
            )
            curves = [_put(curve, epoch, value) for curve, value in zip(curves, values, strict=True)]
            kept = [_put(values, epoch + 1, w) for values, w in zip(kept, weights, strict=False)]
            return epoch + 1, weights, means, squares, curves, kept

        zeros = [tf.zeros_like(w) for w in weights]
        curves = [tf.zeros((epochs, *students))] * (4 if ties else 3)
        kept = [_put(tf.zeros((epochs + 1, *w.shape)), 0, w) for w in weights[:own]] if keep_epochs else []
        _, weights, _, _, curves, kept = tf.while_loop(
            lambda epoch, *_: epoch < epochs, one_epoch, (0, weights, zeros, zeros, curves, kept)
        )
        validation, test, *losses = map(_epochs_last, curves)
        return {
            "loss": losses[0],  # (K, G, epochs), as those below
            "feature": losses[1:],
            "validation": validation,
            "test": test,
            "logits": tf.transpose(apply(steps, weights, tables["held_out_x"])[..., -tests:], (0, 1, 3, 2)),
            "weights": weights[:own],
            "kept": list(map(_epochs_last, kept)),  # (K, G, epochs + 1, H, F or 1)
        }

    return run


def _weigh(feature_alpha, tied, loss, by_logits):
    """Return φ · L_feature + (1 − φ) · L and L_feature, (K, G, B), and the gradients of the first."""
    feature, by_values, by_projectors = tied
    (logits, gradient), weight = *by_logits.items(), feature_alpha[:, 0]
    by_values = {step: feature_alpha * values for step, values in by_values.items()}
    by_values[logits] = by_values.get(logits, 0.0) + (1 - feature_alpha) * gradient
    losses = [weight * feature + (1 - weight) * loss, feature + tf.zeros_like(loss)]
    return losses, by_values, [feature_alpha * gradient for gradient in by_projectors]


def loss_and_gradient(logits, target, hard, soft, temperature):
    """Return the loss of every sample (K, G, B), in nats, and its gradient by the logits, (K, G, C, B).

    With h = ``hard`` (1 − α, or 0 without a label), s = ``soft`` = α T, lse(z) = log Σ exp z and the target
    t = h onehot(y) + s softmax(z_t / T), the loss is h lse(z) + s T lse(z / T) − t · z. Its gradient is then
    h softmax(z) + s softmax(z / T) − t, which is ``kdlab.softening.distillation_gradient``.
    """
    logits -= tf.reduce_max(logits, axis=2, keepdims=True)
    powers, soft_powers = tf.exp(logits), tf.exp(logits / temperature)
    total, soft_total = (tf.reduce_sum(p, axis=2, keepdims=True) for p in (powers, soft_powers))
    loss = hard * tf.math.log(total) + soft * temperature * tf.math.log(soft_total)
    loss -= tf.reduce_sum(target * logits, axis=2, keepdims=True)
    return loss[:, :, 0], hard * powers / total + soft * soft_powers / soft_total - target


def adam(weights, means, squares, gradients, number, learning_rate):
    """Return weights and moments after step ``number`` of Adam (Kingma & Ba 2015, end of section 2)."""
    rate = learning_rate * tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
    means = [m + 0.1 * (g - m) for m, g in zip(means, gradients, strict=True)]
    squares = [v + 0.001 * (g * g - v) for v, g in zip(squares, gradients, strict=True)]
    moved = [w - rate * m / (tf.sqrt(v) + 1e-7) for w, m, v in zip(weights, means, squares, strict=True)]
    return moved, means, squares


def _put(rows, index, row):
    return tf.tensor_scatter_nd_update(rows, [[index]], row[None])


def _epochs_last(values):
    """Move the epochs from the front to behind seeds and students."""
    return tf.transpose(values, (1, 2, 0, *range(3, len(values.shape))))
