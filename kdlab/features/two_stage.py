"""Training in two stages, as in FitNets: first the student's layers up to the hint, then the whole student."""

from ..backend import keras, tf
from ..execution import DENSE, choose_execution, count_steps, made_of
from ..training_checks import DivergenceGuard
from ..transfer_set import in_memory, weights
from .taps import tap

__all__ = ["hint_stage"]


def hint_stage(
    distiller, x, *, optimizer="adam", teacher_features=None, batch_size=32, epochs=1, callbacks=None, **fitting
):
    """Train the student up to its tapped layers, and the projectors, on the feature loss alone: Keras's history.

    Stage one of FitNets (Romero et al. 2015, section 2.3), for every method of ``kdlab.FeatureDistillation``. What
    comes after the last tapped layer is not run and keeps its weights. No label is needed. Stage two is the whole
    student on the response loss: ``distiller`` with ``feature_alpha = 0``, or, without the cost of the features, a
    new ``kdlab.Distiller(teacher=…, student=…)``, compiled and fitted as usual.

    ``distiller`` has ``features``; compiled it need not be. ``x`` is arrays, over which the teacher runs once unless
    ``teacher_features``, from the method of that name, are given, or a ``tf.data.Dataset`` that yields x or (x, …),
    with the teacher in each step. ``optimizer`` serves this stage only; other keywords are those of
    ``keras.Model.fit`` that go with inputs alone. History: "loss" is the feature loss and the regularisation of these
    layers.

    Raises ValueError for a distiller without features and for x that is neither, FloatingPointError where training
    diverges, as ``Distiller.fit`` does.
    """
    if getattr(distiller, "feature_term", None) is None:
        raise ValueError("hint_stage needs a kdlab.Distiller with features=kdlab.FeatureDistillation(…)")
    if in_memory(x):
        if teacher_features is None:
            teacher_features = distiller.teacher_features(x)
    elif isinstance(x, tf.data.Dataset) and teacher_features is None:
        x, batch_size = x.map(lambda *batch: batch[0]), None
    else:
        raise ValueError(
            f"x must be arrays, or a tf.data.Dataset and no teacher_features beside it, got {type(x).__name__}"
        )
    stage = _HintStage(distiller)
    stage.compile(optimizer)
    callbacks = [DivergenceGuard(), *keras.tree.flatten(callbacks or [])]
    counts = (fitting.get("steps_per_epoch"),)
    steps = fitting["steps_per_epoch"] = count_steps(x, batch_size, *counts)
    xla = teacher_features is not None or made_of(distiller.teacher, DENSE)
    choose_execution(stage, stage.lower_layers, steps and steps * epochs, callbacks, counts, xla)
    return stage.fit(x, teacher_features, batch_size=batch_size, epochs=epochs, callbacks=callbacks, **fitting)


class _HintStage(keras.Model):
    """The student's layers up to the tapped ones, shared, and the distiller's feature loss, shared too."""

    def __init__(self, distiller):
        super().__init__(name="hint_stage")
        whole = tap(distiller.student, distiller.features.student_layers, "student")
        self.lower_layers = keras.Model(whole.input, whole.output[1])
        self.feature_term = distiller.feature_term
        self.teacher_targets = distiller.teacher_targets
        self.built = True

    def call(self, inputs, training=None):
        """Return the tapped features, {layer name: (N, …)}."""
        return self.lower_layers(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the feature loss of a batch and the regularisation, a scalar."""
        teacher_features = self.teacher_targets.now(x, ["features"])["features"] if y is None else y
        weight = 1.0 if sample_weight is None else weights(sample_weight)
        loss = self.feature_term(teacher_features, y_pred, sample_weight=weight)
        return tf.add_n([tf.cast(loss, tf.float32), *(tf.cast(tf.reduce_sum(one), tf.float32) for one in self.losses)])
