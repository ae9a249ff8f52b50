"""Feature distillation: which layers of teacher and student are compared and how, and the trainable projectors."""

from dataclasses import dataclass

from ..backend import keras, tf
from . import losses
from .taps import describe_layers, layer_shapes

METHODS = ("hint", "attention", "similarity", "relational_distance", "relational_angle", "relational")


@keras.saving.register_keras_serializable("kdlab")
@dataclass(frozen=True)
class FeatureDistillation:
    """What ``kdlab.Distiller(features=…)`` compares: ``pairs`` of layers, by ``method``; the mean over pairs.

    ``pairs`` is a list of (teacher layer, student layer), by name, of Functional or Sequential models; the weight
    is the Distiller's ``feature_alpha``. ``method`` is a function of ``kdlab.features.losses``:

    - "hint": the student's features are the teacher's (FitNets, Romero et al. 2015). Layers of the same height and
      width, or both without. Where only the numbers of units or channels differ, a linear layer over them, on maps a
      1×1 convolution, projects the student's to the teacher's: it trains along and is no part of the student.
    - "attention": both look at the same places (Zagoruyko & Komodakis 2017). Maps of any size and width.
    - "similarity": the same samples of a batch are similar for both (Tung & Mori 2019). Layers of any shape.
    - "relational_distance", "relational_angle", and "relational" for both: samples of a batch have
      the same distances and angles (Park et al. 2019). Layers of any shape.

    Sample weights weigh "hint" and "attention". The other losses belong to a batch and not to a sample, which
    weights leave alone. A paper's weight w on its loss, beside 1 on the rest, is ``feature_alpha`` = w / (1 + w).

    Raises ValueError for an unknown method, and for pairs that are none.
    """

    method: str
    pairs: tuple

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {self.method!r}")
        pairs = self.pairs
        if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(_is_pair, pairs)):
            raise ValueError(f"pairs must be a list of (teacher layer, student layer), two names each, got {pairs!r}")
        object.__setattr__(self, "pairs", tuple(map(tuple, pairs)))

    @property
    def teacher_layers(self):
        """The names of the teacher's layers, each once."""
        return list(dict.fromkeys(teacher for teacher, _ in self.pairs))

    @property
    def student_layers(self):
        """The names of the student's layers, each once."""
        return list(dict.fromkeys(student for _, student in self.pairs))

    def prepare(self, features):
        """Return of each layer's features, a dict, what the method compares: for "attention" the maps (N, H, W)."""
        features = {name: tf.cast(value, tf.float32) for name, value in features.items()}
        if self.method == "attention":
            return {name: losses.attention_map(value) for name, value in features.items()}
        return features

    def get_config(self):
        """Return the constructor's arguments."""
        return {"method": self.method, "pairs": [list(pair) for pair in self.pairs]}

    @classmethod
    def from_config(cls, config):
        """Return the description of that configuration."""
        return cls(**config)


class FeatureTerm(keras.layers.Layer):
    """The feature loss of one teacher and one student, and its ``projectors``, a layer or None for each pair.

    Raises ValueError, naming the layers there are, for a pair whose shapes the method cannot compare.
    """

    def __init__(self, features, teacher, student):
        super().__init__(name="feature_term", dtype="float32")
        self.features = features
        self._loss = getattr(losses, features.method)
        shapes = layer_shapes(teacher), layer_shapes(student)
        self.projectors = []
        for pair in features.pairs:
            theirs, ours = (of[name] for of, name in zip(shapes, pair, strict=True))
            wrong = _mismatch(features.method, theirs, ours)
            if wrong:
                raise ValueError(
                    f"{wrong}; teacher layer {pair[0]!r} returns {theirs} and student layer {pair[1]!r} {ours}. "
                    f"Teacher layers: {describe_layers(teacher)}. Student layers: {describe_layers(student)}"
                )
            projector = None
            if features.method == "hint" and theirs[-1] != ours[-1]:  # over the last axis, so 1×1 on maps
                projector = keras.layers.Dense(theirs[-1], dtype="float32")
                projector.build((None, *ours))
            self.projectors.append(projector)
        self.built = True

    def call(self, teacher_features, student_features, sample_weight=1.0):
        """Return the loss of a batch, a scalar: the mean over pairs and, where it is per sample, over samples.

        ``teacher_features`` is a dict by layer name as ``FeatureDistillation.prepare`` returns it,
        ``student_features`` one as tapped, ``sample_weight`` (N,) or 1.
        """
        student_features, losses = self.features.prepare(student_features), []
        for (teacher, student), projector in zip(self.features.pairs, self.projectors, strict=True):
            ours = student_features[student]
            loss = self._loss(
                teacher_features=tf.stop_gradient(teacher_features[teacher]),
                student_features=ours if projector is None else projector(ours),
            )
            losses.append(loss if loss.shape.rank == 0 else tf.reduce_mean(loss * sample_weight))
        return tf.add_n(losses) / len(losses)


def _is_pair(pair):
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(name, str) for name in pair)


def _mismatch(method, theirs, ours):
    """Return why a method cannot compare features of these shapes, or None."""
    if not theirs or not ours or None in (*theirs, *ours):
        return "layers to compare must return features of known shape"
    if method == "hint" and theirs[:-1] != ours[:-1]:
        return "a hint needs two layers of the same height and width, or two without"
    if method == "attention" and (len(theirs), len(ours)) != (3, 3):
        return "attention needs layers that return maps (height, width, channels)"
    return None
