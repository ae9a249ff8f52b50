"""A teacher's logits on a transfer set, computed once and kept on disk."""

import hashlib
import warnings
from pathlib import Path

import numpy as np

from ..backend import tf
from ..cache import cache_folder, new_file
from ..checks import check_logits
from ..model_files import fingerprint
from ..training_checks import check_not_probabilities

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
    try:
        path = (cache_folder("logits") if folder is None else Path(folder)) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        logits, refused = _read(path, len(split)), None
    except OSError as error:
        path, logits, refused = None, None, error
    if logits is None:
        logits = _compute(teacher, split.x, batch_size, progress)
        logits = check_logits(logits, "the teacher's logits", dimensions=2)
        check_not_probabilities(logits, "teacher")
        refused = refused or _write(path, logits)
    if refused:
        warnings.warn(f"the teacher's logits are not kept, the next run computes them again: {refused}", stacklevel=2)
    return logits


def _compute(teacher, x, batch_size, progress):
    samples = len(x)
    spec = tf.TensorSpec((None, *x.shape[1:]), tf.float32)
    # One trace for every batch size; `predict` would leave a function behind in the teacher.
    run = tf.function(lambda batch: tf.cast(teacher(batch, training=False), tf.float32), input_signature=[spec])
    logits = []
    for start in range(0, samples, batch_size):
        logits.append(run(np.asarray(x[start : start + batch_size], np.float32)).numpy())
        if progress:
            progress(min(start + batch_size, samples), samples)
    return np.concatenate(logits)


def _read(path, samples):
    """Return the logits of a file, or None for one that is not there or is not what was written."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as parts:
            logits, checksum = parts["logits"], str(parts["sha256"])
    except Exception:  # None is there, or it is damaged: a zip file's errors are of many kinds.
        return None
    whole = checksum == _checksum(logits) and logits.dtype == np.float32 and len(logits) == samples
    return logits if whole else None


def _write(path, logits):
    """Write the logits; return None, or the OSError that kept them from it."""
    try:
        with new_file(path) as file:
            np.savez(file, logits=logits, sha256=_checksum(logits))
    except OSError as error:
        return error
    return None


def _checksum(logits):
    return hashlib.sha256(np.ascontiguousarray(logits)).hexdigest()
