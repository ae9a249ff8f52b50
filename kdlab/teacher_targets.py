"""What a teacher gives its student to match: its logits and its layers' features, now or kept from one pass."""

from .backend import keras, tf
from .features.taps import tap
from .transfer_set import over_batches


class TeacherTargets:
    """The teacher of a ``Distiller`` and what it gives, a dict: "logits" and, with ``features``, "features".

    ``teacher`` is a ``keras.Model``, a list of them or None, ``features`` a ``FeatureDistillation`` or None. A plain
    object, in which Keras does not track the teacher: it is no layer of the Distiller.
    """

    def __init__(self, teacher, features=None):
        self.teacher = teacher
        self.models = list(teacher) if isinstance(teacher, (list, tuple)) else [] if teacher is None else [teacher]
        self.features = features
        self.names = ("logits",) if features is None else ("logits", "features")
        if features is not None:
            if not isinstance(teacher, keras.Model):
                raise ValueError(f"features need one teacher, a keras.Model, got {teacher!r}")
            self._tapped = tap(teacher, features.teacher_layers, "teacher")

    def now(self, x, names):
        """Return those of ``names`` for a batch: logits (N, C), or (N, K, C) for a list of K teachers; features."""
        if self.teacher is None:
            raise ValueError(
                "there is neither a teacher nor teacher logits: give Distiller a teacher, or data that "
                "yield (x, (labels, teacher_logits))"
            )
        if self.features is None:
            logits = [tf.cast(model(x, training=False), tf.float32) for model in self.models]
            return {"logits": tf.stack(logits, axis=1) if isinstance(self.teacher, (list, tuple)) else logits[0]}
        logits, features = self._tapped(x, training=False)
        made = {"logits": tf.cast(logits, tf.float32), "features": self.features.prepare(features)}
        return {name: made[name] for name in names}

    def over(self, x, names, batch_size=256):
        """Return those of ``names`` for all of ``x``, numpy arrays, in one pass. ValueError without a teacher."""
        if self.teacher is None:
            raise ValueError("there is no teacher: give Distiller a teacher, or fit teacher_logits")
        return over_batches(lambda batch: self.now(batch, names), x, batch_size)

    def missing(self, kept):
        """Return the names that ``kept``, a dict, has nothing for."""
        return [name for name in self.names if kept.get(name) is None]

    @property
    def feature_shapes(self):
        """The shape of a sample's features as they are kept, {layer name: shape}; empty without features."""
        if self.features is None:
            return {}
        shapes = {name: value.shape[1:] for name, value in self._tapped.output[1].items()}
        one = self.features.prepare({name: tf.zeros((1, *shape)) for name, shape in shapes.items()})
        return {name: tuple(value.shape[1:]) for name, value in one.items()}
