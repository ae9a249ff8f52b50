"""What the commands of a lecturer share."""

from contextlib import contextmanager

__all__ = ["of_extra"]


@contextmanager
def of_extra(name, what):
    """Within the block, a package that is not installed is one of the extra ``name``, which the message installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "kdlab":
            raise
        raise ValueError(f"{what} needs {error.name}, which is not installed: pip install 'kdlab[{name}]'") from None
