"""How an answer is judged: called with random inputs, held against a reference, and against what known mistakes return.

A check is a function ``make(random)`` that returns an ``Exercise``; ``@exercise`` makes of it what a sheet calls.
"""

import copy
import functools
import inspect
import linecache
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..answers import record


class WrongAnswerError(AssertionError):
    """What a check says of a wrong answer. A notebook shows the sentence alone: where the check failed helps nobody."""

    def _render_traceback_(self):
        return [f"✗ Not quite. {self}"]


class Right(str):
    """What a check says of a right answer: a sentence, which a notebook shows without quotation marks."""

    __slots__ = ()

    def __repr__(self):
        return f"✓ Right. {self}"

    def _ipython_display_(self):
        print(repr(self))  # a cell's result would be points to nbgrader, which asks for a number


@dataclass(frozen=True)
class Exercise:
    """What an answer is held against.

    ``cases`` are arguments to call it with; the first one tells apart all mistakes that matter for ordinary inputs, the
    later ones are for those that matter at an edge. ``reference`` and each of ``mistakes``, {sentence: function, or a
    tuple of them}, take the same arguments and return what must come out, or what comes out with that mistake. ``right``
    is said of a right answer, ``hint`` where a wrong one is none of the known mistakes. Several results have the names
    ``returns``. ``tolerance`` is relative to the largest value. ``call(answer, *case)`` gets an answer's results where they
    are not simply what it returns; ``explain(results, *case)`` says more of an unknown mistake, or "".
    """

    cases: Sequence[tuple]
    reference: Callable
    mistakes: Mapping[str, Callable]
    right: str
    hint: str
    returns: tuple[str, ...] = ()
    tolerance: float = 1e-5
    call: Callable | None = None
    explain: Callable | None = None


def exercise(make):
    """Return the check of an answer, ``check(answer, seed=0)``, from ``make(random)``, which returns the ``Exercise``.

    The check returns a ``Right`` or raises ``WrongAnswerError``, and records which; ``seed`` draws other inputs.
    ``check.mistakes()`` are the sentences on the mistakes that it knows by name.
    """

    def check(answer, seed=0):
        made = make(np.random.default_rng(seed))
        for case in made.cases:
            _judge(answer, made, case)
        return Right(made.right)

    functools.update_wrapper(check, make)
    del check.__wrapped__  # whose signature is another one
    check.mistakes = lambda: tuple(make(np.random.default_rng(0)).mistakes)
    return recorded(check)


def recorded(check):
    """Return a check that notes what it says of an answer in the reader's record, right or wrong, under its own name."""

    @functools.wraps(check)
    def noted(answer, *more, **options):
        asked, name = f"check.{check.__name__}", _name(answer)
        try:
            said = check(answer, *more, **options)
        except WrongAnswerError as wrong:
            record(asked, name, False, str(wrong))
            raise
        record(asked, name, True, said)
        return said

    return noted


def telling(draw, functions):
    """Return the first case that ``draw()`` makes on which no two ``functions`` return the same, or nearly so."""
    while True:
        case = draw()
        results = [np.concatenate([np.ravel(part) for part in np.atleast_1d(f(*case))]) for f in functions]
        pairs = ((one, other) for k, one in enumerate(results) for other in results[:k])
        if not any(one.shape == other.shape and np.allclose(one, other, 1e-4) for one, other in pairs):
            return case


def _judge(answer, made, case):
    given, name = copy.deepcopy(case), _name(answer)
    came = called(answer, *given, how=made.call)
    wanted = _arrays(made.reference(*case), made.returns)
    found = _arrays(came, made.returns)
    if isinstance(found, str):
        raise WrongAnswerError(f"{name} {found}")
    if _alike(found, wanted, made.tolerance):
        if not _alike(_numbers(given), _numbers(case), 0):
            raise WrongAnswerError(
                f"{name} changes the arrays that it is given, so the next cell computes with other ones: work on a copy."
            )
        for one, other, of in zip(found, wanted, made.returns or ("the result",), strict=True):
            if other.dtype in (bool, np.int8) and one.dtype != other.dtype:
                raise WrongAnswerError(
                    f"The values are right, but {of} must be of type {other.dtype}, got {one.dtype}."
                )
        return
    with np.errstate(all="ignore"):
        for sentence, mistaken in made.mistakes.items():
            for one in mistaken if isinstance(mistaken, tuple) else (mistaken,):
                if _alike(found, _arrays(one(*case), made.returns), made.tolerance):
                    raise WrongAnswerError(sentence)
    more = made.explain(found, *case) if made.explain else ""
    differs, inputs = _difference(found, wanted, made.returns), f", with {_inputs(made.reference, case)}"
    if made.call:  # what counts is not what it returns, nor what it is given
        differs, inputs = differs.replace("returns", "leaves", 1), ""
    raise WrongAnswerError(more or f"{name} {differs}{inputs}. {made.hint}")


def _name(answer):
    name = getattr(answer, "__name__", "<lambda>")
    return "your function" if name == "<lambda>" else name


def called(answer, *case, how=None):
    """Return ``how(answer, *case)``, or simply ``answer(*case)``; raise WrongAnswerError with what it raised, and where."""
    if not callable(answer):
        raise WrongAnswerError(
            f"The check takes your function itself, without parentheses after its name; it got {_kind(answer)}."
        )
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return how(answer, *case) if how else answer(*case)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, NotImplementedError):
            raise WrongAnswerError(
                f"{frames[-1].name} is not written yet: put your code in place of “raise NotImplementedError”."
            ) from error
        file = getattr(getattr(answer, "__code__", None), "co_filename", None)
        lines = [linecache.getline(file, frame.lineno).strip() for frame in frames if frame.filename == file]
        where = f" It comes from this line: {lines[-1]}" if lines and lines[-1] else ""
        raise WrongAnswerError(f"{_name(answer)} raised {type(error).__name__}: {error}.{where}") from error


def _arrays(value, returns):
    """Return results as a list of arrays, one for each of the names, or in words why they are none."""
    if value is None:
        return "returns nothing: its last line must return the result."
    if returns and isinstance(value, np.ndarray) and value.ndim and len(value) == len(returns):
        value = list(value)
    if not returns:
        value, names = [value], ("the result",)
    elif not isinstance(value, (tuple, list)) or len(value) != len(returns):
        return f"must return {len(returns)} results, {', '.join(returns)}, got {_kind(value)}."
    else:
        names = returns
    found = []
    for one, name in zip(value, names, strict=True):
        try:
            array = np.asarray(one)
        except (TypeError, ValueError):
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            return f"must return numbers, but {name} is {_kind(one)}."
        found.append(array)
    return found


def _alike(found, wanted, tolerance):
    """Whether two lists of arrays have the same shapes and, but for rounding, the same values; NaN is like NaN."""
    if isinstance(wanted, str) or [one.shape for one in found] != [one.shape for one in wanted]:
        return False
    for one, other in zip(found, wanted, strict=True):
        one, other = one.astype(np.float64), other.astype(np.float64)
        finite = np.abs(other[np.isfinite(other)])
        if not np.allclose(one, other, rtol=0, atol=tolerance * finite.max(initial=1e-300), equal_nan=True):
            return False
    return True


def _numbers(case):
    return [np.asarray(one) for one in case if isinstance(one, (np.ndarray, int, float))]


def _difference(found, wanted, returns):
    """Say how results differ from what they must be, of the first that does."""
    for one, other, name in zip(found, wanted, returns or ("",), strict=True):
        said = f"returns a wrong {name}: " if name else "returns "
        if one.shape != other.shape:
            return f"{said}{_shape(one)} where it must be {_shape(other)}"
        one, other = one.astype(np.float64), other.astype(np.float64)
        if (np.isfinite(other) & ~np.isfinite(one)).any():
            bad = one[~np.isfinite(one)].flat[0]
            return f"{said}{bad} where there must be a finite number"
        if np.allclose(one, other, rtol=1e-4, atol=1e-9):
            continue
        use = np.abs(other) > 1e-6 * np.abs(other).max()
        ratios = one[use] / other[use]
        if ratios.size and np.allclose(ratios, ratios.flat[0], rtol=1e-4) and abs(ratios.flat[0]) > 1e-9:
            factor = ratios.flat[0]
            if abs(factor + 1) < 1e-4:
                return f"{said}the right values with the opposite sign"
            return f"{said}{factor:.4g} times what it must be{' everywhere' * (one.size > 1)}"
        worst = np.unravel_index(np.abs(one - other).argmax(), one.shape)
        where = f" at {tuple(int(k) for k in worst)}" if one.ndim else ""
        return f"{said}{one[worst]:.5g}{where}, which is wrong by {abs(one - other)[worst]:.3g}"
    return "does not return what it must"


def _inputs(function, case):
    """Say what an answer was called with: shapes of arrays, values of numbers."""
    said = []
    for name, one in zip(inspect.signature(function).parameters, case, strict=False):
        said.append(f"{name} of shape {one.shape}" if isinstance(one, np.ndarray) and one.ndim else f"{name} = {one}")
    return ", ".join(said)


def _shape(array):
    return f"an array of shape {array.shape}" if array.ndim else "a single number"


def _kind(value):
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}{f' of shape {tuple(shape)}' if shape is not None else ''}"
