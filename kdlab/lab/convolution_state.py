"""Chapter 3's convolutional students of real nuclei: what their training comes to, and where they look. No view in here.

TensorFlow is imported by the first method that trains, so that a page appears before it.
"""

import threading

import numpy as np

from ..checks import check_alpha
from ..datasets.nuclei import CLASS_NAMES, load_nuclei
from ..evaluation import mean_interval
from ..features.representations import attention_map
from .memo import Once
from .response_state import check_training_temperature
from .response_summary import compare

__all__ = ["DEFAULTS", "METHODS", "SEEDS", "SHOWN", "STAGES", "ConvolutionState"]

SEEDS, EPOCHS, SIZE = 3, 15, 48
CHANNELS = (8, 16, 32)
STAGES = {"early": ("stage2", "block1"), "middle": ("stage3", "block2"), "late": ("stage4", "block3")}
"""The layers that can be tied, of the teacher and of the student: maps of 24, 12 and 6 pixels a side for both."""
METHODS = {"attention": "Attention transfer", "hint": "Hint (FitNets)", "similarity": "Similarity-preserving"}
DEFAULTS = {"temperature": 4.0, "alpha": 0.5, "method": "attention", "stage": "middle", "feature_alpha": 0.9}
SHOWN = 12  # nuclei to choose from
CHANNELS_SHOWN = 8


class ConvolutionState:
    """Students of three convolutions on nuclei of 48×48 pixels, which they see at half the resolution; plain Python values.

    One training at a time: the maps are those of the students last trained to the end.
    """

    def __init__(self):
        self._once, self._lock = Once(), threading.Lock()
        self._students, self._kept = {}, {}

    @property
    def data(self):
        """The nuclei, split by region."""
        return self._once("data", lambda: load_nuclei(size=SIZE))

    def check(self, **position):
        """Return the position with numbers as floats; raises ValueError naming what is not accepted."""
        for name, accepted in (("method", METHODS), ("stage", STAGES)):
            if position[name] not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {position[name]!r}")
        return position | {
            "temperature": check_training_temperature(position["temperature"]),
            "alpha": check_alpha(position["alpha"]),
            "feature_alpha": check_alpha(position["feature_alpha"], "feature_alpha"),
        }

    def train(self, progress, stop=None, **position):
        """Train ``SEEDS`` students of each kind; ``progress(result)`` gets what there is after every epoch.

        Kinds are "alone", "response" (the teacher's answers) and "features" (its features as well), from the same
        weights and batches. A result holds the ``position``, how many epochs are ``done`` of ``total``, the teacher's
        test accuracy, each kind's accuracies per epoch and, where all are trained, its mean with interval and the
        paired ``differences``. ``stop()`` is asked after every epoch; a training that is stopped changes no maps.
        """
        position = self.check(**position)
        with self._lock:
            trainer, accuracy = self._once("trainer", self._make_trainer)
            found, runs, total = {}, self._runs(position), SEEDS * EPOCHS
            for number, (kind, settings) in enumerate(runs.items()):
                if self._kept.get(kind, (None,))[0] == settings:  # as often for those without features
                    found[kind] = self._kept[kind][1]
                    progress(_describe(position, accuracy, found, (number + 1) * total, len(runs) * total))
                    continue

                def tell(done, _, result, kind=kind, number=number):
                    found[kind] = result
                    progress(_describe(position, accuracy, found, number * total + done, len(runs) * total))

                found[kind] = trainer.train(**settings, seeds=SEEDS, progress=tell, stop=stop)
                if np.isnan(found[kind].test_accuracy).any():
                    return
                self._kept[kind] = settings, found[kind]
            self._students = {kind: result.students[0] for kind, result in found.items()}

    def shown(self):
        """Return ``SHOWN`` test nuclei, uint8 (SHOWN, 48, 48, 3), and the names of their classes."""
        x, labels = self._shown()
        return np.round(255 * x).astype(np.uint8), [CLASS_NAMES[y] for y in labels]

    def look(self, image, stage):
        """Return where teacher and students look in one of the shown nuclei, and channels at a stage.

        ``answers``: the class each network names; ``attention``: its attention map, pixels from 0 to 255 row by row;
        ``channels``: those ``CHANNELS_SHOWN`` of its feature maps that respond most, each scaled by its largest value;
        all by network, "teacher" and the kinds of students last trained. ``shape`` is the maps' (height, width).
        """
        if stage not in STAGES:
            raise ValueError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
        if image not in range(SHOWN):
            raise ValueError(f"image must be a whole number from 0 to {SHOWN - 1}, got {image!r}")
        from ..features.taps import tap

        with self._lock:
            trainer, _ = self._once("trainer", self._make_trainer)
            networks = {"teacher": trainer.teacher, **self._students}
        x, labels = self._shown()
        seen = {"position": {"image": image, "stage": stage}, "label": CLASS_NAMES[labels[image]]}
        seen |= {"answers": {}, "attention": {}, "channels": {}}
        for kind, network in networks.items():
            layer = STAGES[stage][kind != "teacher"]
            logits, features = tap(network, [layer], kind)(x[image : image + 1], training=False)
            maps = features[layer].numpy()
            seen["answers"][kind] = CLASS_NAMES[int(np.argmax(logits))]
            seen["attention"][kind] = _pixels(attention_map(maps)[0])
            most = np.sort(np.argsort(-(maps[0] ** 2).sum(axis=(0, 1)))[:CHANNELS_SHOWN])
            seen["channels"][kind] = [_pixels(maps[0, ..., c]) for c in most]
        return seen | {"shape": list(maps.shape[1:3])}

    def _shown(self):
        """Return as many test nuclei of each class, class after class: every so many of them."""
        test, chosen = self.data.test, []
        for c in range(len(CLASS_NAMES)):
            members = np.flatnonzero(test.y == c)
            chosen.extend(members[len(members) // 8 :: len(members) // 4][: SHOWN // len(CLASS_NAMES)])
        return test.x[chosen], test.y[chosen]

    def _make_trainer(self):
        from ..live.convolutional import ConvolutionalTrainer
        from ..teachers.nuclei import nuclei_teacher

        teacher, test = nuclei_teacher(), self.data.test
        answers = teacher(test.x, training=False).numpy().argmax(axis=1)
        trainer = ConvolutionalTrainer(self.data, teacher, _student, EPOCHS, batch_size=32, learning_rate=0.001)
        return trainer, float((answers == test.y).mean())

    def _runs(self, position):
        from ..features.distillation import FeatureDistillation

        response = {"temperature": position["temperature"], "alpha": position["alpha"]}
        tied = FeatureDistillation(position["method"], [STAGES[position["stage"]]])
        return {
            "alone": {"temperature": 1.0, "alpha": 0.0},
            "response": response,
            "features": response | {"features": tied, "feature_alpha": position["feature_alpha"]},
        }


def _student(seed):
    from ..backend import keras
    from ..models import small_cnn

    half = SIZE // 2
    blocks = small_cnn((half, half, 3), len(CLASS_NAMES), seed, channels=CHANNELS).layers
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(2), *blocks], name="student")


def _describe(position, teacher, found, done, total):
    """Return what the page shows of the results so far, by kind."""
    result = {"position": position, "done": done, "total": total, "teacher": {"accuracy": teacher}, "differences": None}
    result["students"] = {
        kind: {"per_epoch": [[round(float(v), 4) for v in run[~np.isnan(run)]] for run in one.test_accuracy_per_epoch]}
        for kind, one in found.items()
    }
    if done == total:
        final = {kind: one.test_accuracy_per_epoch[:, -1] for kind, one in found.items()}
        for kind, accuracy in final.items():
            result["students"][kind]["accuracy"] = list(mean_interval(accuracy))
        result["differences"] = {kind: compare(final["features"], final[kind]) for kind in ("response", "alone")}
    return result


def _pixels(values):
    """Return a map (height, width) of values from 0 on as whole numbers from 0 to 255, its largest, row by row."""
    largest = values.max()
    return np.round(255 * values / largest if largest > 0 else values).astype(int).ravel().tolist()
