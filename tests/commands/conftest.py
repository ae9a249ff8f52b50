"""What the tests of commands share."""

import numpy as np
import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_calls_are_timed():
    """No test here looks at how long a model takes, which is measured for a second a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdlab.timing.MOST", 10)
        yield


@pytest.fixture
def untrained(monkeypatch):
    """Trainings that write the student as it began, moved by its temperature: for tests of all that is around them."""
    from kdlab.model_files import save
    from kdlab.runs import runs

    def train(model, data, out, settings, callbacks, overwrite, temperature=0.0, alpha=0.0):
        model.set_weights([weight + 0.1 * temperature * np.cos(weight) for weight in model.get_weights()])
        save(model, out)
        return runs.Run(model=model, history={}, seconds=1.0, epochs_done=1, best_epoch=1)

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "distill", lambda model, logits, data, **how: train(model, data, **how))
