"""Chapter 3's relatives of distillation: mutual learning, students together, another view. No view of its own in here.

All follow the position of the chapter's dense students: temperature, alpha, scenario and width.
"""

import numpy as np

from ..datasets.views import VIEWS
from ..evaluation import mean_interval
from .features_state import DEFAULTS, SEEDS
from .memo import Once
from .response_summary import check_converged, compare, describe_students

__all__ = ["SHOWN", "TASK", "VIEW_TITLES", "RelativesState"]

TASK = ("temperature", "alpha", "scenario", "width")
TOGETHER = 5  # students that answer as one, at most
SHOWN = 8  # digits whose views are drawn
VIEW_TITLES = {"left_half": "the left half", "edges": "the edges"}


class RelativesState:
    """Trains the relatives of a ``FeaturesState``'s students when asked for; results as plain Python values."""

    def __init__(self, features):
        self._features, self._once = features, Once()
        self.data = features.data

    def mutual(self, **task):
        """Return ten pairs of students that taught each other and the same pairs alone; no teacher had a part in it."""
        from ..live.relatives import mutual_learning

        task = self._check(**task)
        found = mutual_learning(self._trainer(**task), task["temperature"], task["alpha"], SEEDS)
        check_converged(*found.together, *found.alone)
        return self._result(task) | {
            "students": {"with": _describe_pairs(found.together), "without": _describe_pairs(found.alone)},
            "difference": compare(found.together_accuracy.mean(axis=1), found.alone_accuracy.mean(axis=1)),
        }

    def ensemble(self, **task):
        """Return the accuracy of 1 to ``TOGETHER`` students that answer as one, distilled and not: (mean, low, high) each."""
        from ..live.relatives import ensemble_of_students

        task = self._check(**task)
        trainer = self._trainer(**task)
        found = ensemble_of_students(
            trainer, self.data.test.y, TOGETHER, task["temperature"], task["alpha"], seeds=SEEDS
        )
        many = {"distilled": found.distilled_accuracy, "alone": found.alone_accuracy}
        return self._result(task) | {
            "together": {kind: [list(mean_interval(one)) for one in values.T] for kind, values in many.items()},
            "gain": {kind: compare(values[:, -1], values[:, 0]) for kind, values in many.items()},
        }

    def other_view(self, view, **task):
        """Return ten students that see a ``view`` of the digits, taught by a teacher that sees them whole, and not taught."""
        if view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
        task = self._check(**task | {"scenario": "unlabelled"})
        trainer = self._once((view, task["width"]), self._make_view_trainer, view, task["width"])
        alone = self._once(("alone", view, task["width"]), self._train_alone, view, task["width"])
        taught = trainer.train(task["temperature"], task["alpha"], seeds=SEEDS)
        check_converged(taught, alone)
        result = self._result(task)
        return result | {
            "position": result["position"] | {"view": view},
            "students": {"with": describe_students(taught), "without": describe_students(alone)},
            "difference": compare(taught.test_accuracy, alone.test_accuracy),
        }

    def view_images(self):
        """Return ``SHOWN`` test digits, then the same in every view: uint8 (1 + views, SHOWN, 64), 255 for full ink."""
        digits = self.data.test.x[:SHOWN]
        seen = np.stack([digits, *(see(digits) for see in VIEWS.values())])
        return np.round(255 * seen).astype(np.uint8)

    def _check(self, **task):
        """Return the task with numbers as floats; raises ValueError naming what is not accepted."""
        checked = self._features.check(**DEFAULTS | task)
        return {name: checked[name] for name in TASK}

    def _trainer(self, scenario, width, **_):
        return self._features.trainer(scenario, width)

    def _result(self, task):
        teacher, _ = self._features.teacher()
        right = teacher.test_logits[0].argmax(axis=1) == self.data.test.y
        return {"position": task, "teacher": float(right.mean())}

    def _make_view_trainer(self, view, width, scenario="unlabelled"):
        from ..live.relatives import cross_modal_trainer
        from ..models import mlp

        teacher, _ = self._features.teacher()
        student = mlp(64, (width, width), 10, name="student")
        return cross_modal_trainer(self.data, student, teacher.logits(self.data.train.x)[0], view, scenario)

    def _train_alone(self, view, width):
        # On the labelled digits only: beside the others a batch would hold but three or four of them.
        return self._make_view_trainer(view, width, "few").train(temperature=1.0, alpha=0.0, seeds=SEEDS)


def _describe_pairs(pair):
    """Return what the page shows of pairs of students: every one's curve, the interval over the means of the pairs."""
    first, second = map(describe_students, pair)
    means = np.mean([result.test_accuracy for result in pair], axis=0)
    return {"accuracy": list(mean_interval(means)), "per_epoch": first["per_epoch"] + second["per_epoch"]}
