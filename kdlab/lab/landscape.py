"""The landscape of temperature and α: a grid of trained students to choose a position from."""

import ipywidgets
import numpy as np

from .controls import points
from .widgets import Grid


class Landscape:
    """A ``grid`` with a cell per temperature and alpha; choosing one moves the sliders ``T`` and ``alpha`` there."""

    def __init__(self, temperatures, alphas, T, alpha):  # noqa: N803
        self.positions = [(t, a) for t in temperatures for a in alphas]
        self.grid = Grid(
            [f"T {t:.3g}, alpha {a:g}: not trained yet" for t, a in self.positions],
            columns=len(alphas),
            corner="T \\ α",
            row_labels=[f"{t:.3g}" for t in temperatures],
            column_labels=[f"{a:g}" for a in alphas],
            description="Temperature by alpha",
        )
        self.grid.observe(lambda change: self._move(change["new"], T, alpha), "value")
        self._moving = False
        for slider in (T, alpha):
            slider.observe(lambda _: self._look(T, alpha), "value")
        self.button = ipywidgets.Button(description="Choose by validation", disabled=True)
        self.button.on_click(lambda _: self.grid.set_trait("value", self._best))

    def _move(self, cell, temperature, alpha):
        if cell is not None:
            self._moving = True
            try:
                temperature.value, alpha.value = self.positions[cell]
            finally:
                self._moving = False

    def _look(self, temperature, alpha):
        """Let no cell be chosen once the sliders are elsewhere: so it can be chosen again."""
        if self._moving or self.grid.value is None:
            return
        t, a = self.positions[self.grid.value]  # which may lie between two steps of a slider
        if not (np.isclose(temperature.value, t, rtol=0.045) and np.isclose(alpha.value, a, atol=0.026)):
            self.grid.value = None

    def show(self, sweep, alone):
        """Show a ``LiveSweep`` minus the students ``alone``, a ``LiveResult`` of at least as many seeds.

        The numbers are validation accuracy in percentage points. Returns the grid, the button that chooses the best
        of them, and a sentence with what it comes to on the test set.
        """
        seeds = sweep.test_accuracy.shape[2]
        validation = (sweep.validation_accuracy - alone.validation_accuracy[:seeds, -1]).mean(axis=2).ravel()
        test = (sweep.test_accuracy - alone.test_accuracy[:seeds]).mean(axis=2).ravel()
        labels = [
            f"T {t:.3g}, alpha {a:g}: "
            + ("not trained" if np.isnan(v) else f"validation {points(v)} points, test {points(m)} points")
            for (t, a), v, m in zip(self.positions, validation, test, strict=True)
        ]
        self.grid.show(validation, ["" if np.isnan(v) else points(v) for v in validation], labels)
        self.button.disabled = bool(np.isnan(validation).all())
        if self.button.disabled:
            return self.grid, self.button
        self._best = int(np.nanargmax(validation))
        t, a = self.positions[self._best]
        trained = int(np.isfinite(validation).sum())
        words = (
            f"Best of {trained} positions on validation: T = {t:.3g}, α = {a:g} with {points(validation[self._best])} points "
            f"there and {points(test[self._best])} points on the test set."
        )
        return self.grid, self.button, words
