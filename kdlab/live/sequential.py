"""What the trainers share that train a student per seed, one after another, while somebody looks on.

All of them train in one Keras model, which is compiled once and put back to where it began before each training: other
weights of the loss trace nothing anew.
"""

import numpy as np

from ..backend import keras
from ..checks import check_count


class KeptModel:
    """A compiled Keras model whose ``student`` is trained again and again."""

    def __init__(self, model):
        self.model = model
        model.optimizer.build(model.trainable_variables)
        self._start = [(v, v.numpy()) for v in (*model.variables, *model.optimizer.variables)]

    def begin(self, student):
        """Put all variables back to where they began, but the student's to those of ``student``."""
        for variable, value in self._start:
            variable.assign(value)
        for variable, value in zip(self.model.student.variables, student.variables, strict=True):
            variable.assign(value)


class SequentialTrainer:
    """Trains kinds of students, a few seeds of each; ``train`` of one kind is that of the classes that inherit from this.

    ``finished`` holds the results of kinds last trained to their end. Raises ValueError for ``epochs`` below 1.
    """

    def __init__(self, epochs):
        self.epochs, self.finished, self._settings = check_count(epochs, "epochs"), {}, {}

    def train_kinds(self, kinds, seeds=3, progress=None, stop=None):
        """Train ``seeds`` students of each of ``kinds``, {name: arguments of ``train``}; return {name: its result}.

        From the same weights and batches, one kind after another; after every epoch ``progress(done, total, results)``
        is called with the epochs of all and the results so far, then ``stop()`` is asked. A kind that is ``finished``,
        with the same arguments, is not trained again. Raises as ``train`` does.
        """
        results, each, stopped = {}, check_count(seeds, "seeds") * self.epochs, False

        def asked():
            nonlocal stopped
            stopped = bool(stop and stop())
            return stopped

        for place, (name, settings) in enumerate(kinds.items()):

            def tell(done, _, result, name=name, place=place):
                results[name] = result
                if progress:
                    progress(place * each + done, len(kinds) * each, results)

            wanted = settings | {"seeds": seeds}
            if name in self.finished and self._settings[name] == wanted:
                tell(each, None, self.finished[name])
                continue
            results[name] = self.train(**wanted, progress=tell, stop=asked)
            if not np.isnan(results[name].train_loss).any():
                self.finished[name], self._settings[name] = results[name], wanted
            if stopped:
                break
        return results

    def _train(self, result, kept, begin, judge, progress, stop):
        """Train a student for each row of ``result``'s curves, and fill them: what ``train`` of all classes does.

        ``begin(seed)`` puts the ``KeptModel`` back and returns the seed's student and its batches, all epochs of them.
        After each epoch the student has the weights that were trained, ``judge(result, place)`` fills its other curves,
        ``progress`` is called and ``stop`` asked.
        """
        seeds, epochs = result.train_loss.shape
        for seed in range(seeds):
            student, batches = begin(seed)
            result.students.append(student)

            def tell(epoch, logs, seed=seed, student=student):
                student.set_weights(kept.model.student.get_weights())
                result.train_loss[seed, epoch] = logs["loss"]
                judge(result, (seed, epoch))
                if progress:
                    progress(seed * epochs + epoch + 1, seeds * epochs, result)
                kept.model.stop_training = bool(stop and stop())

            steps = int(batches.cardinality()) // epochs
            fitting = {"steps_per_epoch": steps, "epochs": epochs, "shuffle": False, "verbose": 0}
            kept.model.fit(batches, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=tell)], **fitting)
            if kept.model.stop_training:
                break
        return result
