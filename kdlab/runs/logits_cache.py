"""A teacher's logits on a transfer set, computed once and kept on disk."""

import hashlib
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..backend import tf
from ..cache import cache_folder, new_file
from ..checks import check_logits
from ..model_files import fingerprint
from ..training_checks import check_not_probabilities
from ..transfer_set import over_batches

__all__ = ["teacher_logits"]


def teacher_logits(teacher, split, data_key, batch_size=256, folder=None, progress=None):
    """Return the logits of ``teacher`` on ``split.x``, (N, C) float32, from the cache where they are there.

    ``data_key`` is a string that names the samples as the teacher sees them: a ``Dataset.fingerprint``, which is one of
    the pixels after all preprocessing, and which split. The file's name comes from it and from the teacher's layers
    and weights, so that no other logits are ever returned; it is written at once or not at all, and a damaged one is
    computed anew. ``folder`` is, where None, "logits" in ``kdlab.cache.cache_folder``.
    ``progress(done, samples)`` is called after each batch.

    Where the disk cannot take them the logits are returned all the same, with a UserWarning. Raises ValueError for
    no samples and for outputs that are not finite, are no (N, C) or look like probabilities.
    """
    if not len(split):
        raise ValueError("there are no samples for the teacher: split is empty")
    key = f"{fingerprint(teacher)} {data_key} {tuple(split.x.shape)}"
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    # None is there, or it is damaged: a zip file's errors are of many kinds.
    with suppress(Exception), open(_folder(folder) / name, "rb") as file, np.load(file, allow_pickle=False) as parts:
        return parts["logits"]
    logits = over_batches(lambda x: tf.cast(teacher(x, training=False), tf.float32), split.x, batch_size, progress)
    logits = check_logits(logits, "the teacher's logits", dimensions=2)
    check_not_probabilities(logits, "teacher")
    try:
        with new_file(_folder(folder) / name) as file:
            np.savez(file, logits=logits)
    except OSError as error:
        warnings.warn(f"the teacher's logits are not kept, the next run computes them again: {error}", stacklevel=2)
    return logits


def _folder(given):
    """Return the folder of the kept logits, made where it is missing."""
    folder = cache_folder("logits") if given is None else Path(given)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
