"""Full-size runs: a model trained, or a student distilled, into a ``.keras`` file; killed, the same call goes on."""

import hashlib
import math
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np

from ..backend import keras
from ..checks import check_alpha, check_count, check_temperature, check_training_temperature
from ..distiller import Distiller
from ..execution import batches, build_state, choose_execution, seed_layers
from ..model_files import check_fits, fingerprint, save
from ..training_checks import DivergenceGuard
from ..transfer_set import check_teacher_logits
from .epoch_batches import EpochBatches
from .hardware import (
    MIXED_PRECISION,
    EvaluateOnOneDevice,
    choose_policy,
    choose_strategy,
    mixed_precision,
    trainee_of,
)
from .resuming import TrainingState

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Settings:
    """How a run trains; with the data and the model, all that its result depends on.

    Adam at ``learning_rate``. An epoch is better than another by its accuracy on the validation split or, at the
    same accuracy, by its loss there (without validation samples: on the training split). After
    ``reduce_patience`` epochs without a better one (half of ``patience``, unless given) the learning rate is halved,
    after ``patience`` the run stops.
    ``mixed_precision`` is "auto" (where the GPUs are made for it), "on" or "off". ``tensorboard`` is a folder for logs.

    Raises ValueError for what is out of range.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0
    patience: int = 5
    reduce_patience: int | None = None
    mixed_precision: str = "auto"
    tensorboard: Path | None = None

    def __post_init__(self):
        if self.reduce_patience is None and isinstance(self.patience, Integral):
            object.__setattr__(self, "reduce_patience", max(1, self.patience // 2))
        for name in ("epochs", "batch_size", "seed", "patience", "reduce_patience"):
            check_count(getattr(self, name), name, least=0 if name == "seed" else 1)
        check_temperature(self.learning_rate, "learning_rate")
        if self.mixed_precision not in MIXED_PRECISION:
            raise ValueError(f"mixed_precision must be one of {MIXED_PRECISION}, got {self.mixed_precision!r}")


@dataclass
class Run:
    """What a run came to.

    ``model`` has the weights of the best epoch, as in the file. ``history`` maps each of Keras's names ("loss",
    "accuracy", "val_loss", "val_accuracy", "learning_rate", …) to a list with a value per epoch, from the first one
    on, also those before a resumption. ``seconds`` are those of all epochs; ``epochs_done`` counts them and
    ``best_epoch`` is one of them, counted from 1; ``resumed_from`` is the number of epochs that were already
    done when this call began, 0 for a run from the start. ``notes`` are sentences on what a reader would not expect.
    """

    model: keras.Model
    history: dict
    seconds: float
    epochs_done: int
    best_epoch: int
    resumed_from: int = 0
    notes: tuple[str, ...] = ()


def suggest(samples):
    """Return batch size, epochs and patience for so many training samples, as arguments of ``Settings``.

    What training needs is steps: few samples make small batches and more epochs of them, 30 epochs at least and
    2,000 steps where 200 epochs have as many. On few validation samples many epochs in a row are alike by chance: the
    patience is half of the epochs there, and 5 where 30 epochs are enough.
    """
    batch_size = int(min(64, max(8, 2 ** round(math.log2(max(samples, 1) / 40)))))
    epochs = min(200, max(30, math.ceil(2000 / math.ceil(max(samples, 1) / batch_size))))
    return {"batch_size": batch_size, "epochs": epochs, "patience": epochs // 2 if epochs > 30 else 5}


def train(model, data, out, settings=None, callbacks=(), overwrite=False):
    """Train ``model`` on the labels of ``data.train`` and write it, as of its best epoch, to ``out``: a ``Run``.

    ``model`` is a built ``keras.Model`` that returns logits, ``data`` a ``kdlab.Dataset``, ``out`` the path of a
    ``.keras`` file, ``settings`` a ``Settings``. ``callbacks`` are ``keras.callbacks.Callback`` objects: they see
    one training, which begins after the epochs that a killed run had done (``params["epochs"]`` is the number of all).

    After each epoch the state is kept beside ``out`` (``kdlab.runs.resuming.state_path``) until ``out`` is written:
    the same call after a kill goes on from there and, on a CPU, comes to the same weights, bit by bit. A state that
    another call left behind is not used: a note says so, and it is overwritten.

    Raises ValueError for what cannot be trained, FileExistsError for an ``out`` that exists without ``overwrite``,
    FloatingPointError where training diverges and OSError where the disk is full: what was there stays as it was.
    """
    check_fits(model, data)
    labelled = np.flatnonzero(data.train.y >= 0)
    if len(np.unique(data.train.y[labelled])) < 2:
        raise ValueError("the training split must hold labelled samples of at least two classes")
    return _run(model, _learner, data, labelled, None, {}, out, settings, callbacks, overwrite)


def distill(
    student, teacher_logits, data, out, settings=None, temperature=4.0, alpha=0.9, callbacks=(), overwrite=False
):
    """Distil ``student`` on ``data.train`` and write it, as of its best epoch, to ``out``: a ``Run``.

    ``teacher_logits``, (N, C) on ``data.train`` or (N, K, C) of K teachers, come from
    ``kdlab.runs.logits_cache.teacher_logits``; ``temperature``, ``alpha`` and the loss are those of ``kdlab.Distiller``.
    The file holds the student alone. All else, resuming and errors too, as for ``train``.
    """
    check_fits(student, data, "student")
    temperature, alpha = check_training_temperature(temperature), check_alpha(alpha)
    teacher_logits = check_teacher_logits(teacher_logits, len(data.train), len(data.class_names))
    key = {
        "temperature": temperature,
        "alpha": alpha,
        "teacher_logits": hashlib.sha256(np.ascontiguousarray(teacher_logits)).hexdigest(),
    }

    def distiller(trainee):
        return Distiller(student=trainee, temperature=temperature, alpha=alpha)

    everything = np.arange(len(data.train))
    return _run(student, distiller, data, everything, teacher_logits, key, out, settings, callbacks, overwrite)


def _run(model, wrap, data, rows, teacher_logits, key, out, settings, callbacks, overwrite):
    """Train what ``wrap`` makes of ``model`` on these rows of the training split; ``key`` is added to the state's."""
    settings, out = settings or Settings(), _check_out(out, overwrite)
    strategy, policy = choose_strategy(), choose_policy(settings.mixed_precision)
    key = {
        "data": data.fingerprint,
        "model": fingerprint(model),
        **{name: getattr(settings, name) for name in _KEY},
        "precision": policy,
        **key,
    }
    # Several devices share a batch: of a small one, some might get nothing.
    epochs = EpochBatches(
        data.train, rows, settings.batch_size, settings.seed, teacher_logits, whole=strategy is not None
    )
    initial, trainee = model.get_weights(), trainee_of(model, strategy)
    with mixed_precision(trainee, policy):
        with nullcontext() if strategy is None else strategy.scope():
            learner = _compiled(wrap, trainee, settings, policy, epochs, strategy)
            state = TrainingState(
                trainee, settings, out, key, lambda epoch: _begin_epoch(trainee, epochs, settings, epoch)
            )
            resumed_from = state.resume(learner.optimizer)
        arguments, judges = {}, []
        if len(data.validation):
            samples = batches(data.validation, EVALUATION_BATCH)
            if strategy is None:
                arguments = {"validation_data": samples}
            else:
                judge = _compiled(wrap, model, settings, policy, epochs)
                judges = [EvaluateOnOneDevice(judge, model, trainee, samples)]
        if settings.tensorboard:
            callbacks = [keras.callbacks.TensorBoard(settings.tensorboard, write_graph=False), *callbacks]
        guard = [] if isinstance(learner, Distiller) else [DivergenceGuard()]
        try:
            if not state.finished:
                learner.fit(
                    x=epochs.batches(),
                    steps_per_epoch=epochs.steps,
                    **arguments,
                    epochs=settings.epochs,
                    initial_epoch=resumed_from,
                    shuffle=False,
                    callbacks=[*guard, *judges, state, *callbacks],
                    verbose=0,
                )
        except FloatingPointError:
            state.remove()  # It would diverge again.
            raise
        except BaseException:
            model.set_weights(initial)  # From there the same call goes on, in this process too.
            raise
    model.set_weights(state.best)
    try:
        save(model, out)
    except OSError as error:
        raise OSError(f"{error}; the run is kept in {state.path}: the same call writes what it came to") from error
    state.remove()
    return Run(
        model=model,
        history=state.history,
        seconds=state.seconds,
        epochs_done=state.epochs_done,
        best_epoch=state.best_epoch,
        resumed_from=resumed_from,
        notes=(*state.notes, *_notes(data, rows, strategy, policy)),
    )


def _check_out(out, overwrite):
    """Return ``out`` as a path, or raise ValueError or FileExistsError."""
    out = Path(out)
    if out.suffix != ".keras":
        raise ValueError(f"out must be a path that ends in .keras, got {str(out)!r}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists already; overwrite=True replaces it")
    return out


def _learner(model):
    """Return a model of the same layers to compile, so that how it was trained does not stick to ``model``."""
    return keras.Model(model.inputs, model.outputs) if getattr(model, "inputs", None) else model


# Not the number of epochs: an interrupted run may go on to more of them.
_KEY = ("batch_size", "learning_rate", "seed", "patience", "reduce_patience")


def _compiled(wrap, model, settings, policy, epochs, strategy=None):
    """Return what ``wrap`` makes of ``model``, compiled, its optimizer built: a state can be put into it."""
    learner = wrap(model)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    alone = {} if strategy is None else {"steps_per_execution": 1}
    learner.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], **alone)
    build_state(learner, model.output_shape[-1])
    if strategy is None:
        choose_execution(learner, model, settings.epochs * epochs.steps)
    return learner


def _begin_epoch(trainee, epochs, settings, epoch):
    """Make all that is random in the epoch depend on its number and the seed alone."""
    epochs.begin(epoch)
    seed_layers(trainee, settings.seed, epoch)


def _notes(data, rows, strategy, policy):
    """Yield sentences on what a reader would not expect."""
    if len(rows) < len(data.train):
        yield f"{len(data.train) - len(rows)} of {len(data.train)} training samples have no label and were left out."
    if not len(data.validation):
        yield "There are no validation samples: the best epoch was chosen on the training split."
    if strategy is not None:
        yield f"Trained on {strategy.num_replicas_in_sync} devices at once."
    if policy != "float32":
        yield f"Trained in mixed precision ({policy}); the weights are float32."
