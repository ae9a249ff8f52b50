"""What the tests of commands share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_calls_are_timed():
    """No test here looks at how long a model takes, which is measured for a second a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdlab.timing.MOST", 10)
        yield
