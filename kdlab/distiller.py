"""``Distiller``: a Keras model that trains a student on a teacher's logits; compile, fit, evaluate, save."""

from types import SimpleNamespace

import numpy as np

from .backend import keras, tf
from .checks import check_alpha, check_temperature
from .losses import SoftCrossEntropy, ensemble_logits
from .training_checks import DivergenceGuard, check_models
from .transfer_set import in_memory, labels_and_logits, prepare, take, weigh_classes, weights

__all__ = ["Distiller"]


@keras.saving.register_keras_serializable("kdlab")
class Distiller(keras.Model):
    """A ``keras.Model`` that trains ``student`` with the distillation loss; its outputs are the student's.

    L = (1 − α) · CE(y, softmax(z_s)) + α · T² · CE(softmax(z_t / T), softmax(z_s / T)), the mean over samples
    (Hinton, Vinyals & Dean 2015, section 2), plus the student's own regularisation, if it has any.
    ``temperature`` (above 0) and ``alpha`` (0 to 1) may be set at any time, and nothing is traced anew.

    ``teacher`` is a ``keras.Model``, a list of them (an ensemble: the mean of their softened probabilities),
    or None where the data bring teacher logits. It runs with ``training=False`` only and is never changed.
    ``distillation_loss`` takes the place of the soft term: any of ``kdlab.losses``, always at the Distiller's
    temperature, whatever its own.

    Labels are whole numbers (N,); −1 is "no label": that sample takes part in the soft term and in no metric.
    A saved Distiller holds its teacher; ``import kdlab.distiller`` before ``keras.models.load_model``.

    Raises ValueError, before any training, for models of different input shapes or class counts, for outputs
    that look like probabilities, and for a temperature or an alpha out of range.
    """

    def __init__(self, *, teacher=None, student, temperature=4.0, alpha=0.9, distillation_loss=None, **keywords):
        super().__init__(**keywords)
        # In a plain object, where Keras does not track it: the teacher is no layer of this model, and neither
        # `trainable` nor the optimizer reaches it. Saving finds it through the property `teacher`.
        self._untracked = SimpleNamespace(teacher=teacher)
        if isinstance(teacher, (list, tuple)) and not teacher:
            raise ValueError("teacher must be a keras.Model, a list of them or None, got an empty list")
        check_models(self._teachers(), student)
        if distillation_loss is not None and not hasattr(distillation_loss, "per_sample"):
            raise ValueError(f"distillation_loss must be one of kdlab.losses, got {distillation_loss!r}")
        self.student = student
        self.distillation_loss = distillation_loss or SoftCrossEntropy()
        self._temperature = tf.Variable(check_temperature(temperature), trainable=False, dtype=tf.float64)
        self._alpha = tf.Variable(check_alpha(alpha), trainable=False, dtype=tf.float64)
        self._student_loss = keras.metrics.Mean(name="student_loss")
        self._distillation_loss = keras.metrics.Mean(name="distillation_loss")
        self.built = student.built

    @property
    def teacher(self):
        """The teacher: a ``keras.Model``, a list of them, or None."""
        return self._untracked.teacher

    @property
    def temperature(self):
        """The temperature T, a float; settable at any time. ValueError unless finite and above 0."""
        return float(self._temperature)

    @temperature.setter
    def temperature(self, value):
        self._temperature.assign(check_temperature(value))

    @property
    def alpha(self):
        """The weight of the distillation term, a float; settable at any time. ValueError outside [0, 1]."""
        return float(self._alpha)

    @alpha.setter
    def alpha(self, value):
        self._alpha.assign(check_alpha(value))

    def call(self, inputs, training=None):
        """Return the student's logits, (N, C)."""
        return self.student(inputs, training=training)

    def compile(self, optimizer="adam", loss=None, **keywords):
        """Compile as any Keras model; ``metrics`` compare the student's logits with the labels.

        ``loss`` is the student's own, on labels (N,) and logits: a ``keras.losses.Loss``, or None for
        ``SparseCategoricalCrossentropy(from_logits=True)``. Raises ValueError for one that takes
        probabilities.

        On a CPU ``steps_per_execution=16, jit_compile=True`` nearly halve the time of a dense student, for 2 s
        more to start with; leave XLA out for a convolutional one.
        """
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
        if not isinstance(loss, keras.losses.Loss) or not loss.get_config().get("from_logits", True):
            raise ValueError(
                "loss must be a keras.losses.Loss that takes logits, such as "
                f"SparseCategoricalCrossentropy(from_logits=True), got {loss!r}"
            )
        if loss.reduction != "sum_over_batch_size":
            raise ValueError(f'loss must have reduction="sum_over_batch_size", got {loss.reduction!r}')
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
        **keywords,
    ):
        """Train the student: ``keras.Model.fit``, with one argument more, ``teacher_logits``.

        Arrays: the teacher runs over ``x`` once, before training. ``teacher_logits``, (N, C) or for K
        teachers (N, K, C), spare that: the method of that name returns them. ``y`` None means that no sample
        has a label.

        Data sets and generators yield (x, labels[, weights]), and the teacher runs in each step, or
        (x, (labels, teacher_logits)[, weights]), and it does not. A weight weighs both terms of its sample.

        History: "loss" is L, "student_loss" and "distillation_loss" its terms before α; "val_loss" is the
        student's own, as from ``evaluate``.

        Raises ValueError for a transfer set that cannot be trained on (see ``kdlab.transfer_set.prepare``)
        and FloatingPointError after an epoch whose loss or weights are not finite: the student is then as it
        was after the last epoch that was.
        """
        if in_memory(x):
            if isinstance(y, tuple):
                y, teacher_logits = y
            split = 0.0 if validation_data is not None else validation_split
            x, y, sample_weight, split_off = prepare(self, x, y, teacher_logits, sample_weight, class_weight, split)
            validation_data = split_off or validation_data
            class_weight, validation_split = None, 0.0
        elif teacher_logits is not None:
            raise ValueError(
                "teacher_logits go with arrays; a data set yields them itself: (x, (labels, teacher_logits))"
            )
        elif class_weight is not None and isinstance(x, tf.data.Dataset):
            x, class_weight = weigh_classes(x, class_weight), None
        guard = DivergenceGuard()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(guard)
        else:  # The guard first: a checkpoint must not save what has diverged.
            callbacks = [guard, *(keras.tree.flatten(callbacks) if callbacks else [])]
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
            class_weight=class_weight,
            sample_weight=sample_weight,
            **keywords,
        )

    def teacher_logits(self, x, batch_size=256):
        """Return the teacher's logits on ``x``, float32: (N, C), or for a list of K teachers (N, K, C).

        Worth keeping between calls of ``fit``, at any temperature. Raises ValueError without a teacher.
        """
        if self.teacher is None:
            raise ValueError("there is no teacher: give Distiller a teacher, or fit teacher_logits")
        spec = keras.tree.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), x)
        # One trace for every batch size; `predict` would leave a function behind in the teacher.
        run = tf.function(self._run_teacher).get_concrete_function(spec)
        starts = range(0, len(keras.tree.flatten(x)[0]), batch_size)
        batches = (take(x, slice(start, start + batch_size)) for start in starts)
        return np.concatenate([run(keras.tree.map_structure(tf.convert_to_tensor, batch)) for batch in batches])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of a batch, a scalar: L in training, else the student's own."""
        labels, teacher_logits = labels_and_logits(y)
        samples = tf.cast(tf.size(labels), tf.float32)
        labelled = tf.cast(labels >= 0, tf.float32)
        weight = 1.0 if sample_weight is None else weights(sample_weight)
        student_loss = self.loss(tf.maximum(labels, 0), y_pred, sample_weight=labelled * weight)
        if not training:
            # The mean over the labelled samples of all batches; Keras's own tracker counts the others too.
            number = tf.reduce_sum(labelled)
            mean = tf.math.divide_no_nan(student_loss * samples, number)
            self._student_loss.update_state(mean, sample_weight=number)
            return student_loss
        soft = self.distillation_loss.per_sample(
            teacher_logits=self._soft_targets(x, teacher_logits),
            student_logits=y_pred,
            labels=labels,
            temperature=self._temperature,
        )
        distillation_loss = tf.reduce_mean(soft * weight)
        self._student_loss.update_state(student_loss, sample_weight=samples)
        self._distillation_loss.update_state(distillation_loss, sample_weight=samples)
        alpha = tf.cast(self._alpha, tf.float32)
        loss = (1 - alpha) * student_loss + alpha * distillation_loss
        return tf.add_n([loss, *(tf.reduce_sum(penalty) for penalty in self.losses)])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics with the labelled samples of a batch and return all of them, a dict."""
        labels, _ = labels_and_logits(y)
        labelled = tf.where(labels >= 0)[:, 0]
        weight = None if sample_weight is None else tf.gather(weights(sample_weight), labelled)
        return super().compute_metrics(x, tf.gather(labels, labelled), tf.gather(y_pred, labelled), weight)

    def test_step(self, data):
        """Return the logs of an evaluation: "loss", the student's own over labelled samples, and metrics."""
        logs = super().test_step(data)
        del logs["distillation_loss"]
        logs["loss"] = logs.pop("student_loss")
        return logs

    def _soft_targets(self, x, logits):
        """Return teacher logits (N, C): of the data, or the teacher's now; an ensemble's put together."""
        if logits is None:
            if self.teacher is None:
                raise ValueError(
                    "there is neither a teacher nor teacher logits: give Distiller a teacher, or data that "
                    "yield (x, (labels, teacher_logits))"
                )
            logits = self._run_teacher(x)
        ensemble = logits.shape.rank == 3
        return ensemble_logits(tf.cast(logits, tf.float32), self._temperature) if ensemble else logits

    def _run_teacher(self, x):
        """Return the teacher's logits on a batch, float32: (N, C), or (N, K, C) for a list of K teachers."""
        logits = [tf.cast(model(x, training=False), tf.float32) for model in self._teachers()]
        return tf.stack(logits, axis=1) if isinstance(self.teacher, (list, tuple)) else logits[0]

    def _teachers(self):
        teacher = self.teacher
        return list(teacher) if isinstance(teacher, (list, tuple)) else [] if teacher is None else [teacher]

    def get_config(self):
        """Return the constructor's arguments with their present values."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        return {**super().get_config(), **parts, "temperature": self.temperature, "alpha": self.alpha}

    @classmethod
    def from_config(cls, config):
        """Return the Distiller of that configuration."""
        return cls(**{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS}})

    def compile_from_config(self, config):
        """Compile as before saving; Keras asks for this method wherever ``compile`` is not its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


_PARTS = ("teacher", "student", "distillation_loss")
