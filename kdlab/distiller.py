"""``Distiller``: a Keras model that trains a student on a teacher's logits; compile, fit, evaluate, save."""

import math
import types
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np

from .backend import keras, tf
from .checks import check_alpha, check_training_temperature
from .execution import DENSE, build_state, choose_execution, count_steps, exactly, is_known, made_of
from .features.distillation import FeatureDistillation, FeatureTerm
from .features.taps import tap
from .losses import SoftCrossEntropy, call_loss, ensemble_logits
from .teacher_targets import TeacherTargets
from .training_checks import DivergenceGuard, check_models
from .transfer_set import check_class_weight, find_fault, in_memory, labels_and_targets, prepare, watched, weights


def _settable(name, check, meaning):
    """Return a property over the variable ``_name``, whose value may change between steps without a new trace."""
    return property(
        lambda self: float(getattr(self, f"_{name}")),
        lambda self, value: getattr(self, f"_{name}").assign(check(value, name)),
        doc=f"{meaning}, a float; settable at any time. ValueError for anything else.",
    )


@keras.saving.register_keras_serializable("kdlab")
class Distiller(keras.Model):
    """A ``keras.Model`` that trains ``student`` with the distillation loss; its outputs are the student's.

    L = (1 − α) · CE(y, softmax(z_s)) + α · T² · CE(softmax(z_t / T), softmax(z_s / T)), the mean over samples
    (Hinton, Vinyals & Dean 2015, section 2), plus the student's own regularisation, if it has any.
    With ``features``, a ``kdlab.FeatureDistillation`` that ties layers of the student to the teacher's, what is
    trained is φ · L_feature + (1 − φ) · L, where φ is ``feature_alpha``.
    ``temperature`` (above 0), ``alpha`` and ``feature_alpha`` (0 to 1) may be set at any time, and nothing is
    traced anew.

    ``teacher`` is a ``keras.Model``, a list of them (an ensemble: the mean of their softened probabilities),
    or None where the data bring teacher logits. It runs with ``training=False`` only and is never changed.
    ``distillation_loss`` takes the place of the soft term, and is the first thing to change: a function of
    (teacher_logits, student_logits, temperature), two tensors (N, C) and a scalar, that returns a loss per sample, (N,),
    or their mean; any of ``kdlab.losses`` or a subclass, always at the Distiller's temperature, whatever its own; any
    other ``keras.distillation.DistillationLoss``, which keeps its own. A mean is weighed by the mean sample weight.

    Labels are whole numbers (N,); −1 is "no label": that sample takes part in the soft term and in no metric.
    A saved Distiller holds its teacher; ``import kdlab.distiller`` before ``keras.models.load_model``.

    Raises ValueError, before any training, for models of different input shapes or class counts, for outputs
    that look like probabilities, for a temperature or an alpha out of range, and, naming the layers there are,
    for layers that cannot be tapped or compared.
    """

    def __init__(
        self,
        *,
        teacher=None,
        student,
        temperature=4.0,
        alpha=0.9,
        distillation_loss=None,
        features=None,
        feature_alpha=0.5,
        **keywords,
    ):
        super().__init__(**keywords)
        if isinstance(teacher, (list, tuple)) and not teacher:
            raise ValueError("teacher must be a keras.Model, a list of them or None, got an empty list")
        if features is not None and not isinstance(features, FeatureDistillation):
            raise ValueError(f"features must be a kdlab.FeatureDistillation, got {features!r}")
        # A plain object: the teacher is no layer of this model, and neither `trainable` nor the optimizer reaches
        # it. Saving finds it through the property `teacher`.
        self.teacher_targets = TeacherTargets(teacher, features)
        check_models(self.teacher_targets.models, student)
        kinds = (keras.distillation.DistillationLoss, type(None))
        if isinstance(distillation_loss, type) or not (
            isinstance(distillation_loss, kinds) or callable(distillation_loss)
        ):
            raise ValueError(
                "distillation_loss must be a function of (teacher_logits, student_logits, temperature) or a "
                f"keras.distillation.DistillationLoss, such as those of kdlab.losses, got {distillation_loss!r}"
            )
        self.student = student
        self.distillation_loss = distillation_loss or SoftCrossEntropy()
        self._temperature = tf.Variable(check_training_temperature(temperature), trainable=False, dtype=tf.float64)
        self._alpha = tf.Variable(check_alpha(alpha), trainable=False, dtype=tf.float64)
        feature_alpha = check_alpha(feature_alpha, "feature_alpha")
        self._feature_alpha = tf.Variable(feature_alpha, trainable=False, dtype=tf.float64)
        self._student_loss = keras.metrics.Mean(name="student_loss")
        self._distillation_loss = keras.metrics.Mean(name="distillation_loss")
        self.features, self.feature_term = features, None
        if features is not None:
            # Not tracked either: it is the student once more, with more outputs.
            self._untracked = SimpleNamespace(student=tap(student, features.student_layers, "student"))
            self.feature_term = FeatureTerm(features, teacher, student)
            self._feature_loss = keras.metrics.Mean(name="feature_loss")
        self._class_weight = None
        self.built = student.built

    @property
    def teacher(self):
        """The teacher: a ``keras.Model``, a list of them, or None."""
        return self.teacher_targets.teacher

    temperature = _settable("temperature", check_training_temperature, "The temperature T, finite and above 0")
    alpha = _settable("alpha", check_alpha, "The weight α of the distillation term, from 0 to 1")
    feature_alpha = _settable("feature_alpha", check_alpha, "The weight φ of the feature loss, from 0 to 1")

    def call(self, inputs, training=None):
        """Return the student's logits, (N, C); in training with features (logits, {layer name: its features})."""
        if training and self.feature_term is not None:
            return self._untracked.student(inputs, training=True)
        return self.student(inputs, training=training)

    def compile(self, optimizer="adam", loss=None, **keywords):
        """Compile as any Keras model; ``metrics`` compare the student's logits with the labels.

        ``loss`` is the student's own, on labels (N,) and logits: a ``keras.losses.Loss``, or None for
        ``SparseCategoricalCrossentropy(from_logits=True)``. Raises ValueError for one that takes
        probabilities.

        Unless ``steps_per_execution`` or ``jit_compile`` is given, ``fit`` runs a dense student's steps by the
        sixteen and under XLA where there are enough of them, see ``kdlab.execution``.
        """
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
        if not isinstance(loss, keras.losses.Loss) or not loss.get_config().get("from_logits", True):
            raise ValueError(
                "loss must be a keras.losses.Loss that takes logits, such as "
                f"SparseCategoricalCrossentropy(from_logits=True), got {loss!r}"
            )
        if loss.reduction != "sum_over_batch_size":
            raise ValueError(f'loss must have reduction="sum_over_batch_size", got {loss.reduction!r}')
        self._choose_execution = not {"steps_per_execution", "jit_compile"} & set(keywords)
        measured = keras.tree.flatten([keywords.get("metrics"), keywords.get("weighted_metrics")])
        self._known = all(is_known(one) for one in (loss, self.distillation_loss, *measured) if one is not None)
        super().compile(optimizer=optimizer, loss=loss, **keywords)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        *,
        teacher_logits=None,
        teacher_features=None,
        **keywords,
    ):
        """Train the student: ``keras.Model.fit``, with two arguments more, ``teacher_logits`` and ``teacher_features``.

        Arrays: the teacher runs over ``x`` once, before training. ``teacher_logits``, (N, C) or for K
        teachers (N, K, C), and ``teacher_features`` spare that: the methods of those names return them. ``y``
        None means that no sample has a label.

        Data sets and generators yield (x, labels[, weights]), and the teacher runs in each step, or
        (x, (labels, teacher_logits[, teacher_features])[, weights]), and it does not. A weight weighs every term
        of its sample. ``class_weight``, {class: weight} or one per class, goes with all of these; a sample without a
        label has weight 1.

        History: "loss" is what is trained, "student_loss", "distillation_loss" and with features "feature_loss"
        its terms before their weights; "val_loss" is the student's own, as from ``evaluate``.

        Raises ValueError for a transfer set that cannot be trained on (see ``kdlab.transfer_set.prepare``)
        and FloatingPointError after an epoch whose loss or weights are not finite: the student is then as it
        was after the last epoch that was.
        """
        if class_weight is not None and sample_weight is not None:
            raise ValueError("give class_weight or sample_weight, not both")
        counts = keywords.get("steps_per_epoch"), keywords.get("validation_steps")
        if in_memory(x):
            if isinstance(y, tuple):
                y, teacher_logits, teacher_features = (*y, teacher_features)[:3]
            split = 0.0 if validation_data is not None else validation_split
            targets = {"logits": teacher_logits, "features": teacher_features}
            x, y, sample_weight, split_off = prepare(self, x, y, targets, sample_weight, split)
            validation_data, validation_split = split_off or validation_data, 0.0
            if not counts[0]:  # told both, Keras makes one iterator an epoch
                batch_size = batch_size or 32
                keywords["steps_per_epoch"] = count_steps(x, batch_size)
        elif teacher_logits is not None or teacher_features is not None:
            raise ValueError(
                "teacher_logits go with arrays, and so do teacher_features; a data set yields them itself: "
                "(x, (labels, teacher_logits[, teacher_features]))"
            )
        elif isinstance(x, tf.data.Dataset) and int(x.cardinality()) == 0:
            raise ValueError("the transfer set is empty: x yields no batches")
        if class_weight is not None:
            class_weight = tuple(check_class_weight(class_weight, self._classes).items())
        if class_weight != self._class_weight:
            self._class_weight = class_weight
            self.train_function = None  # Keras traces it anew.
        if self.compiled and self.train_function is None and self._classes:
            build_state(self, self._classes)
        found = []
        if isinstance(x, types.GeneratorType):
            x = watched(x, self._classes or math.inf, found)
        guard = DivergenceGuard()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(guard)
        else:  # The guard first: a checkpoint must not save what has diverged.
            callbacks = [guard, *(keras.tree.flatten(callbacks) if callbacks else [])]
            if self.compiled and self._choose_execution:
                steps = count_steps(x, batch_size, keywords.get("steps_per_epoch"))
                xla = self._known and (
                    _brings_targets(x) or all(made_of(one, DENSE) for one in self.teacher_targets.models)
                )
                choose_execution(self, self.student, steps and steps * epochs, callbacks, counts, xla)
        try:
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                sample_weight=sample_weight,
                **keywords,
            )
        except (FloatingPointError, tf.errors.InvalidArgumentError) as error:
            # Looked for here only: before, it would cost a pass over data that may be large.
            batches, steps = _batches(x, y, sample_weight), keywords.get("steps_per_epoch")
            if fault := found[0] if found else find_fault(batches, self._classes or math.inf, steps):
                guard.restore()
                raise ValueError(f"{fault}. The student is as it was {guard.when}") from error
            raise

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, **keywords):
        """Return the student's own loss and the metrics: ``keras.Model.evaluate``."""
        chosen = self.compiled and self._choose_execution and not keywords.get("_use_cached_eval_dataset")  # within fit
        with exactly(self, steps) if chosen else nullcontext():
            return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, **keywords)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Return the student's logits: ``keras.Model.predict``."""
        with exactly(self, steps) if self.compiled and self._choose_execution else nullcontext():
            return super().predict(x, batch_size, verbose, steps, callbacks)

    @property
    def _classes(self):
        """The number of classes, None where the student is not built yet."""
        return self.student.output_shape[-1] if self.student.built and getattr(self.student, "outputs", None) else None

    def teacher_logits(self, x, batch_size=256):
        """Return the teacher's logits on ``x``, float32: (N, C), or for a list of K teachers (N, K, C).

        Worth keeping between calls of ``fit``, at any temperature. Raises ValueError without a teacher.
        """
        return self.teacher_targets.over(x, ["logits"], batch_size)["logits"]

    def teacher_features(self, x, batch_size=256):
        """Return the teacher's features on ``x``, as ``features.method`` compares them: float32 {layer name: (N, …)}.

        Worth keeping between calls of ``fit``, and for other students. Raises ValueError without features.
        """
        if self.features is None:
            raise ValueError("there are no features: give Distiller features=kdlab.FeatureDistillation(…)")
        return self.teacher_targets.over(x, ["features"], batch_size)["features"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of a batch, a scalar: what is trained, or else the student's own."""
        labels, targets = labels_and_targets(y)
        logits, student_features = y_pred if isinstance(y_pred, tuple) else (y_pred, None)
        samples = tf.cast(tf.size(labels), tf.float32)
        labelled = tf.cast(labels >= 0, tf.float32)
        weight = 1.0 if sample_weight is None else weights(sample_weight)
        # Keras divides its losses by the number of devices, over which gradients are summed.
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        student_loss = self.loss(tf.maximum(labels, 0), logits, sample_weight=labelled * weight) * devices
        student_loss = tf.cast(student_loss, tf.float32)  # from a student in other numbers
        if not training:
            # The mean over the labelled samples of all batches; Keras's own tracker counts the others too.
            number = tf.reduce_sum(labelled)
            mean = tf.math.divide_no_nan(student_loss * samples, number)
            self._student_loss.update_state(mean, sample_weight=number)
            return student_loss / devices
        if missing := self.teacher_targets.missing(targets):
            targets |= self.teacher_targets.now(x, missing)
        teacher_logits = targets["logits"]
        if teacher_logits.shape.rank == 3:
            teacher_logits = ensemble_logits(tf.cast(teacher_logits, tf.float32), self._temperature)
        soft = call_loss(self.distillation_loss, teacher_logits, logits, labels, self._temperature)
        distillation_loss = tf.reduce_mean(soft * weight)
        self._student_loss.update_state(student_loss, sample_weight=samples)
        self._distillation_loss.update_state(distillation_loss, sample_weight=samples)
        alpha = tf.cast(self._alpha, tf.float32)
        loss = (1 - alpha) * student_loss + alpha * distillation_loss
        if self.feature_term is not None:
            feature_loss = self.feature_term(targets["features"], student_features, sample_weight=weight)
            self._feature_loss.update_state(feature_loss, sample_weight=samples)
            feature_alpha = tf.cast(self._feature_alpha, tf.float32)
            loss = feature_alpha * tf.cast(feature_loss, tf.float32) + (1 - feature_alpha) * loss
        return tf.add_n([loss, *(tf.cast(tf.reduce_sum(penalty), tf.float32) for penalty in self.losses)]) / devices

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics with the labelled samples of a batch and return all of them, a dict."""
        labels, _ = labels_and_targets(y)
        y_pred = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        labelled = tf.where(labels >= 0)[:, 0]
        weight = None if sample_weight is None else tf.gather(weights(sample_weight), labelled)
        return super().compute_metrics(x, tf.gather(labels, labelled), tf.gather(y_pred, labelled), weight)

    def train_step(self, data):
        """Return the logs of a step, with each sample weighed by its class where ``fit`` was given weights of classes.

        Not left to Keras, which refuses them beside labels of two parts and fails at unlabelled samples.
        """
        if self._class_weight is not None:
            x, y, given = keras.utils.unpack_x_y_sample_weight(data)
            if given is not None:
                raise ValueError("give class_weight or sample weights, not both")
            classes, factors = np.array(self._class_weight, np.float32).reshape(-1, 2).T
            own = tf.cast(labels_and_targets(y)[0][:, None] == classes.astype(np.int32), tf.float32)
            data = x, y, 1 + tf.reduce_sum(own * (factors - 1), axis=1)
        return super().train_step(data)

    def test_step(self, data):
        """Return the logs of an evaluation: "loss", the student's own over labelled samples, and metrics."""
        logs = super().test_step(data)
        for name in ("distillation_loss", "feature_loss"):
            logs.pop(name, None)
        logs["loss"] = logs.pop("student_loss")
        return logs

    def get_config(self):
        """Return the constructor's arguments with their present values."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        return {**super().get_config(), **parts, **{name: getattr(self, name) for name in _WEIGHTS}}

    @classmethod
    def from_config(cls, config):
        """Return the Distiller of that configuration."""
        return cls(
            **{
                **config,
                **{name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS if name in config},
            }
        )

    def get_compile_config(self):
        """Return the arguments of ``compile``, without those that were left to ``fit``."""
        config = super().get_compile_config()
        chosen = ("steps_per_execution", "jit_compile") if self.compiled and self._choose_execution else ()
        return config and {name: value for name, value in config.items() if name not in chosen}

    def compile_from_config(self, config):
        """Compile as before saving; Keras asks for this method wherever ``compile`` is not its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def _brings_targets(x):
    """Whether the teacher need not run in the steps of ``fit``, as far as can be told."""
    spec = x.element_spec if isinstance(x, tf.data.Dataset) else ()
    return in_memory(x) or (isinstance(spec, tuple) and len(spec) > 1 and isinstance(spec[1], tuple))


def _batches(x, y, sample_weight):
    """Return what ``fit`` got as batches (x, y[, weights]); nothing of a generator, which has none to give again."""
    if in_memory(x):
        return [(x, y) if sample_weight is None else (x, y, sample_weight)]
    if isinstance(x, keras.utils.PyDataset):
        return (x[number] for number in range(x.num_batches or 0))
    return x if isinstance(x, tf.data.Dataset) else ()


_PARTS = ("teacher", "student", "distillation_loss", "features")
_WEIGHTS = ("temperature", "alpha", "feature_alpha")
