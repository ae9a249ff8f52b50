"""Chapter 4's nuclei, teacher and students: what they cost, what training comes to, how they decide. No view in here.

TensorFlow is imported by the first method that needs a network, so that a page appears before it.
"""

import base64
import threading
import time
from io import BytesIO

import numpy as np

from ..checks import check_alpha, check_count, check_training_temperature
from ..clinical import check_threshold
from ..datasets.nuclei import BANDS, CLASS_NAMES, SPLITS, fields, load_nuclei, regions, views
from ..evaluation import wilson_interval
from ..softening import softmax
from .medical_figures import calibrate, decide, describe_leak, describe_training, waver
from .memo import Once

__all__ = ["DEFAULTS", "SEEDS", "MedicalState"]

SIZE = 48
SEEDS, EPOCHS, BATCH, LEARNING_RATE = 3, 20, 32, 0.005
CHANNELS = (8, 16, 32)
DEFAULTS = {"temperature": 4.0, "alpha": 0.9}
LEAK_SEEDS = 3
SHOWN = 8  # nuclei of each class at a time
FIELD_SIDE = 480  # pixels of the small picture of the slide
SECONDS = 0.4  # that each speed is measured for


class MedicalState:
    """The nuclei by region, their teacher, and students of a fraction of its size; results as plain Python values.

    Students see the nuclei at half the resolution, every time in one of eight views, with the teacher's logits of that
    view. One training or measurement at a time; what is known of the networks is those last trained to the end.
    """

    def __init__(self):
        self._once, self._lock = Once(), threading.Lock()
        self._students, self._alone, self._said, self._costs = {}, None, (None, {}), None

    @property
    def data(self):
        """The nuclei, split by region: a ``kdlab.Dataset``."""
        return self._once("data", lambda: load_nuclei(size=SIZE))

    def networks(self):
        """Return {"teacher": keras.Model}, with "alone" and "distilled", the first seed's pair, once they are trained."""
        return {"teacher": self._teacher(), **self._students}

    def images(self, page=0):
        """Return ``SHOWN`` test nuclei of each class, uint8 (classes · SHOWN, 48, 48, 3), others for another ``page``."""
        page, test, chosen = check_count(page, "page", 0), self.data.test, []
        for c in range(len(CLASS_NAMES)):
            members = np.flatnonzero(test.y == c)
            members = members[np.random.default_rng(c).permutation(len(members))]
            chosen.extend(np.roll(members, -SHOWN * page)[:SHOWN])
        return np.round(255 * test.x[chosen]).astype(np.uint8)

    def slide(self):
        """Return the slide as a data URL, its bands as (first row, end, split) in fractions, and counts by split and class.

        ``left_out`` are nuclei whose crops do not lie whole in one band.
        """
        from PIL import Image

        field = fields()["nest"]
        height = field.image.shape[0]
        file = BytesIO()
        Image.fromarray(field.image).resize((FIELD_SIDE, FIELD_SIDE)).save(file, "JPEG", quality=85)
        where = regions(field, SIZE)
        return {
            "picture": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(),
            "bands": [[top / height, end / height, split] for top, end, split in BANDS],
            "counts": {s: np.bincount(getattr(self.data, s).y, minlength=len(CLASS_NAMES)).tolist() for s in SPLITS},
            "left_out": int((where == "").sum()),
        }

    def cost(self, again=False):
        """Return sizes, multiply-adds, measured speeds and test accuracies of teacher and student.

        ``seconds`` by batch size: (median, lower, upper quartile) per image on this machine, measured the first time and
        ``again`` when asked. Accuracies are [share, low, high] (Wilson), of those networks that there are.
        """
        if again or self._costs is None:
            with self._lock:  # Not while students train.
                self._costs = {"teacher": _measure(self._teacher(), self.data.test.x)}
                self._costs["student"] = _measure(build_student(0), self.data.test.x)
        labels, said = self.data.test.y, self._probabilities()[1]["test"]
        right = {name: int((one.argmax(axis=1) == labels).sum()) for name, one in said.items()}
        accuracy = {name: list(wilson_interval(count, len(labels))) for name, count in right.items()}
        return {"networks": self._costs, "accuracy": accuracy, "samples": len(labels)}

    def train(self, progress, stop=None, moved=None, *, temperature, alpha):
        """Train ``SEEDS`` students at this position; ``progress(result)`` gets what there is after every epoch.

        The students alone, of the same initial weights, batches and views, are trained the first time and kept. After
        each epoch ``stop()`` is asked, and for distilled students ``moved()`` too: where one says true the training ends
        and the networks stay those of before. Returns whether it came to its end.
        """
        position = {"temperature": check_training_temperature(temperature), "alpha": check_alpha(alpha)}
        stop, moved = stop or (lambda: False), moved or (lambda: False)
        with self._lock:
            trainer = self._trainer()
            if self._alone is None:
                alone = self._run(trainer, progress, stop, position, {}, {"temperature": 1.0, "alpha": 0.0}, "alone")
                if np.isnan(alone.test_accuracy).any():
                    return False
                self._alone = alone
            kept = {"alone": self._alone}
            ends = lambda: stop() or moved()  # noqa: E731
            distilled = self._run(trainer, progress, ends, position, kept, position, "distilled")
            if np.isnan(distilled.test_accuracy).any():
                return False
            self._students = {"alone": self._alone.students[0], "distilled": distilled.students[0]}
            return True

    def decide(self, class_index):
        """Return ``medical_figures.decide`` of all networks that are there, on test and validation nuclei."""
        data, (position, said) = self.data, self._probabilities()
        class_index = check_count(class_index, "class_index", 0, len(CLASS_NAMES) - 1)
        found = decide(said["test"], said["validation"], data.test.y, data.validation.y, class_index)
        return found | {"position": {"class_index": class_index, "students": position}}

    def waver(self, class_index, threshold):
        """Return ``medical_figures.waver`` of all networks that are there, with what it was made for as ``position``."""
        position, said = self._probabilities()
        made = {"class_index": class_index, "threshold": check_threshold(threshold), "students": position}
        return waver(said["test"], self.data.test.y, class_index, made["threshold"]) | {"position": made}

    def calibration(self):
        """Return ``medical_figures.calibrate`` of all networks that are there."""
        position, said = self._probabilities()
        return {"networks": calibrate(said["test"], self.data.test.y), "position": {"students": position}}

    def leakage(self, progress, stop=None):
        """Train students alone on nuclei split by region and split at random; ``progress(result)`` after every epoch.

        The same students, weights and recipe, and as many nuclei of each split. A result has ``done``, ``total``, test
        accuracies per epoch by split, and at the end mean and interval of each and the paired difference over seeds,
        random − region. There is no teacher: ours has seen the nuclei that a random split would test on.
        """
        found, stop = {}, stop or (lambda: False)
        for split in ("region", "random"):
            trainer = self._once(("leak", split), self._make_leaking, split)
            tell = self._teller(progress, found, split, 2, describe_leak, LEAK_SEEDS)
            found[split] = trainer.train(1.0, 0.0, seeds=LEAK_SEEDS, progress=tell, stop=stop)
            if np.isnan(found[split].test_accuracy).any():
                return

    def _run(self, trainer, progress, stop, position, kept, settings, kind):
        """Train students of one kind; the result so far is told with those that are ``kept``."""
        teacher = self._accuracy()
        found, started = dict(kept), time.perf_counter()

        def describe(found, done, total):
            return describe_training(position, teacher, found, done, total) | {"seconds": time.perf_counter() - started}

        tell = self._teller(progress, found, kind, 2, describe, SEEDS)
        return trainer.train(**settings, seeds=SEEDS, progress=tell, stop=stop)

    @staticmethod
    def _teller(progress, found, kind, kinds, describe, seeds):
        """Return a trainer's progress that counts the epochs of all kinds and describes what was found so far."""
        before = len(found)

        def tell(done, total, result):
            found[kind] = result
            progress(describe(found, before * total + done, kinds * total))

        return tell

    def _accuracy(self):
        said = self._probabilities()[1]["test"]["teacher"]
        return float((said.argmax(axis=1) == self.data.test.y).mean())

    def _probabilities(self):
        """Return a number that says which students they are, and {split: {network: probabilities (N, C), float64}}."""
        networks = self.networks()
        key = tuple(map(id, networks.values()))
        with self._once("said", threading.Lock):
            if self._said[0] is None or self._said[0][1] != key:
                said = {
                    split: {
                        name: softmax(model(getattr(self.data, split).x, training=False).numpy().astype(np.float64))
                        for name, model in networks.items()
                    }
                    for split in ("validation", "test")
                }
                number = self._said[0][0] + 1 if self._said[0] else 0
                self._said = (number, key), said
            (number, _), said = self._said
            return number, said

    def _teacher(self):
        from ..teachers.nuclei import nuclei_teacher

        return self._once("teacher", nuclei_teacher)

    def _trainer(self):
        return self._once("trainer", lambda: _trainer(self.data, self._teacher()))

    def _make_leaking(self, split):
        # Without weight any teacher will do: one that is quick to ask.
        return _trainer(self.data if split == "region" else load_nuclei(size=SIZE, split=split), build_student(1))


def _measure(model, x):
    from ..backend import tf
    from ..export.convert import multiply_adds
    from ..timing import time_per_example

    run = tf.function(lambda images: model(images, training=False))
    return {
        "parameters": model.count_params(),
        "bytes": sum(int(np.prod(w.shape)) * 4 for w in model.weights),
        "multiply_adds": multiply_adds(model).total,
        "seconds": {
            str(b): list(time_per_example(lambda images: run(images).numpy(), x, b, SECONDS)[:3]) for b in (1, 32)
        },
    }


def _trainer(data, teacher):
    from ..backend import keras
    from ..live.convolutional import ConvolutionalTrainer

    # Down to 0 at the end, so that the last epoch's accuracy is no matter of luck.
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, EPOCHS * (len(data.train) // BATCH))
    return ConvolutionalTrainer(data, teacher, build_student, EPOCHS, batch_size=BATCH, learning_rate=rate, views=views)


def build_student(seed):
    """Return a student: three convolutions of 8, 16 and 32 channels on nuclei at half the resolution, 6,299 parameters."""
    from ..backend import keras
    from ..models import small_cnn

    half = SIZE // 2
    blocks = small_cnn((half, half, 3), len(CLASS_NAMES), seed, channels=CHANNELS).layers
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(2), *blocks], name="student")
