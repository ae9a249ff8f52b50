"""A teacher's logits on a transfer set, computed once and kept on disk."""

import hashlib

from ..backend import tf
from ..cache import kept
from ..checks import check_logits
from ..model_files import fingerprint
from ..training_checks import check_not_probabilities
from ..transfer_set import over_batches


def teacher_logits(teacher, split, data_key, progress=None):
    """Return the logits of ``teacher`` on ``split.x``, (N, C) float32, from the cache where they are there.

    ``data_key`` is a string that names the samples as the teacher sees them: a ``Dataset.fingerprint``, which is one of
    the pixels after all preprocessing, and which split. The file's name comes from it and from the teacher's layers
    and weights, so that no other logits are ever returned. ``progress(done, samples)`` is called after each batch.

    Cached as ``cache.kept`` says. Raises ValueError for no samples and for outputs that are not finite, are no (N, C) or
    look like probabilities.
    """
    if not len(split):
        raise ValueError("there are no samples for the teacher: split is empty")

    def compute():
        logits = over_batches(lambda x: tf.cast(teacher(x, training=False), tf.float32), split.x, progress=progress)
        logits = check_logits(logits, "the teacher's logits", dimensions=2)
        check_not_probabilities(logits, "teacher")
        return {"logits": logits}

    key = f"{fingerprint(teacher)} {data_key} {tuple(split.x.shape)}"
    return kept("logits", hashlib.sha256(key.encode()).hexdigest()[:32], compute, "the teacher's logits")["logits"]
