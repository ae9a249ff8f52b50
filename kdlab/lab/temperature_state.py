"""Chapter 1's state: the digits with the teacher's real logits, the chosen temperature and digit. No view in here."""

import numpy as np
import traitlets

from ..checks import check_logits, check_temperature
from ..datasets.dataset import digits_logits, load
from ..softening import distillation_gradient, logit_matching_gradient, softmax

__all__ = ["TemperatureState", "gradient_curves"]


class TemperatureState(traitlets.HasTraits):
    """Temperature, digit (its place in the test split) and, where set by hand, logits; assignments are checked.

    Raises ValueError, and keeps the last good value, for a temperature ≤ 0, a digit that is not there and logits
    that are not ten finite numbers.
    """

    temperature = traitlets.Any(4.0)
    digit = traitlets.Any()
    logits = traitlets.Any([])

    def __init__(self, **values):
        data, logits = load("digits"), digits_logits()
        self.test = data.test
        self.teacher_logits = logits["teacher"]
        self.student_logits = logits["student"]
        # Ambiguous first: the smaller the lead of the first class over the second, the earlier.
        two_best = np.sort(softmax(self.teacher_logits), axis=1)[:, -2:]
        self.order = np.argsort(two_best[:, 1] - two_best[:, 0], kind="stable").tolist()
        super().__init__(**{"digit": self.order[0], **values})

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal):
        return check_temperature(proposal["value"])

    @traitlets.validate("digit")
    def _check_digit(self, proposal):
        digit = proposal["value"]
        if isinstance(digit, bool) or not isinstance(digit, (int, np.integer)) or not 0 <= digit < len(self.test):
            raise ValueError(f"digit must be a whole number from 0 to {len(self.test) - 1}, got {digit!r}")
        return int(digit)

    @traitlets.validate("logits")
    def _check_logits(self, proposal):
        if np.size(proposal["value"]) == 0:
            return []
        logits = check_logits(proposal["value"], dimensions=1)
        if len(logits) != 10:
            raise ValueError(f"logits must be ten numbers, one per digit, or none, got {len(logits)}")
        return logits.astype(float).tolist()

    def shown_logits(self):
        """Return what the bars soften, shape (10,): the logits set by hand, else the teacher's for the digit."""
        return np.array(self.logits) if self.logits else self.teacher_logits[self.digit]

    def probabilities(self):
        """Return softmax(shown logits / temperature), shape (10,)."""
        return softmax(self.shown_logits(), self.temperature)


def gradient_curves(student_logits, teacher_logits, labels, temperatures):
    """Return how large the gradients on the student's logits are, as lists over ``temperatures``.

    ``with_square`` and ``without_square``: mean over samples of ‖∂L_soft/∂z_s‖ with and without the factor T²;
    ``hard``: the same of the cross-entropy on the labels; ``cosine``: of the soft gradient to logit matching,
    both taken over all samples at once (Hinton, Vinyals & Dean 2015, section 2.1).
    """
    samples = len(labels)

    def mean_norm(gradient):
        return float(np.linalg.norm(gradient * samples, axis=1).mean())

    soft = [distillation_gradient(student_logits, teacher_logits, labels, t, alpha=1.0) for t in temperatures]
    matching = logit_matching_gradient(student_logits, teacher_logits)
    return {
        "temperatures": [float(t) for t in temperatures],
        "with_square": [mean_norm(g) for g in soft],
        "without_square": [mean_norm(g) / t**2 for g, t in zip(soft, temperatures, strict=True)],
        "hard": mean_norm(distillation_gradient(student_logits, teacher_logits, labels, 1.0, alpha=0.0)),
        "cosine": [float((g * matching).sum() / np.linalg.norm(g) / np.linalg.norm(matching)) for g in soft],
    }
