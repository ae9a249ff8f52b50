"""The batches of a run: every epoch in an order of its own that depends on the seed and the epoch's number alone."""

import numpy as np

from ..backend import tf
from ..datasets.dataset import epoch_order
from ..datasets.image_streams import stream
from ..datasets.stored_images import StoredImages

__all__ = ["EpochBatches"]


class EpochBatches:
    """The batches of a ``Split``, for ``keras.Model.fit``: ``fit(**batches.from_epoch(first), …)``.

    Each is (x, y), or with ``teacher_logits`` (x, (y, teacher logits)). ``rows`` are those of the split to take: all,
    where images are stored on disk. ``steps`` is the number of batches of an epoch, ``streamed`` whether they are
    read as they are needed; arrays are not: their batches are made by one graph, which costs a tenth.
    ``whole`` leaves out the last, smaller batch, unless it is the only one.
    """

    def __init__(self, split, rows, batch_size, seed, teacher_logits=None, whole=False):
        self.split, self.rows, self.batch_size, self.seed = split, np.asarray(rows), batch_size, seed
        self.teacher_logits = teacher_logits
        self.whole = whole and len(rows) >= batch_size
        self.steps = len(rows) // batch_size if self.whole else -(-len(rows) // batch_size)
        self.streamed = isinstance(split.x, StoredImages)
        if self.streamed and len(rows) < len(split):
            raise ValueError("images that stay on disk must all have labels")

    def from_epoch(self, first):
        """Return the arguments for ``fit`` that begin with this epoch; ``begin_epoch`` is to be called at each."""
        if self.streamed:
            batches = stream(
                self.split,
                self.batch_size,
                self.seed,
                first,
                self.teacher_logits,
                epochs=None,
                drop_remainder=self.whole,
            )
        else:
            batches = self._in_memory()
        return {"x": batches, "steps_per_epoch": self.steps}

    def begin_epoch(self, epoch):
        """Set the order of the samples for this epoch."""
        if not self.streamed:
            self._order.assign(self.rows[epoch_order(len(self.rows), self.seed, epoch)])

    def _in_memory(self):
        size = self.batch_size
        with tf.device("CPU:0"):
            arrays = [self.split.x, self.split.y, *([] if self.teacher_logits is None else [self.teacher_logits])]
            arrays = [tf.constant(array) for array in arrays]
            # A variable, so that all epochs iterate one data set, made and traced once.
            self._order = order = tf.Variable(tf.zeros(len(self.rows), tf.int64), trainable=False)

        def batch(number):
            rows = order[number * size : (number + 1) * size]
            x, *targets = (tf.gather(array, rows) for array in arrays)
            return x, tuple(targets) if len(targets) > 1 else targets[0]

        # Not in parallel: a batch takes microseconds, and the threads would be the step's.
        return tf.data.Dataset.range(self.steps).map(batch).prefetch(tf.data.AUTOTUNE)
