"""What the notebooks' kernels are told."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _programs_as_readers_have_them():
    """What panels train many students with is run often: here it pays that XLA makes it fast, as it does for readers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XLA_FLAGS", raising=False)
        yield
