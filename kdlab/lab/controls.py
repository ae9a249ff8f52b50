"""The controls and sentences that every chapter uses: plain ipywidgets, and plain words."""

import base64
from html import escape

import ipywidgets
import numpy as np


def temperature(value=4.0, description="T", **options):
    """Return a slider of T from 1/8 to 64 by eighths of a power of two, so that 1, 2, 4, 8 … are on its grid."""
    return ipywidgets.FloatLogSlider(
        value, base=2, min=-3, max=6, step=0.125, readout_format=".3g", description=description, **options
    )


def alpha(value=0.9, description="α", **options):
    """Return a slider of the teacher's weight α, from 0 (the labels alone) to 1 (the teacher alone)."""
    return ipywidgets.FloatSlider(
        value, min=0, max=1, step=0.05, readout_format=".2f", description=description, **options
    )


def choice(description, options, value=None):
    """Return a dropdown of ``options``: {text: value} or values."""
    pairs = list(options.items()) if isinstance(options, dict) else [(str(option), option) for option in options]
    return ipywidgets.Dropdown(options=pairs, value=pairs[0][1] if value is None else value, description=description)


def numbers(text, count, name="numbers"):
    """Return ``count`` numbers from a text such as "6, 2, 0", as an array; ValueError says what is accepted."""
    parts = text.replace(";", " ").replace(",", " ").split()
    try:
        values = np.array([float(part) for part in parts])
    except ValueError as error:
        values = np.array([np.nan])
        came = str(error).rpartition(":")[2].strip()
    else:
        came = f"{len(values)} numbers" if len(values) != count else "one that is not finite"
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{name} must be {count} finite numbers with commas or blanks between them, got {came}")
    return values


def positions(places):
    """Return a row of buttons, one for each of ``places``, {its text: {control: value}}: a press sets these controls."""

    def button(text, controls):
        def press(_):
            for control, value in controls.items():
                control.value = value

        made = ipywidgets.Button(description=text, layout={"width": "auto"})
        made.on_click(press)
        return made

    row = ipywidgets.HBox([button(*place) for place in places.items()], layout={"flex_flow": "row wrap"})
    return row.add_class("kdlab-panel")


def points(difference):
    """Return a difference of accuracies in percentage points, "+1.2" or "−0.3"."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}".replace("-", "−")


def on_validation(kinds):
    """Say the mean accuracy on validation samples of ``kinds``, or of pairs of them the first's gain.

    ``kinds`` is {name: LiveResult, a pair of them, or accuracies (n,) from 0 to 1}.
    """

    def mean(result):
        return np.mean(result.validation_accuracy[:, -1] if hasattr(result, "validation_accuracy") else result)

    def said(kind):
        return f"{points(mean(kind[0]) - mean(kind[1]))} points" if isinstance(kind, tuple) else f"{mean(kind):.1%}"

    return f"On validation: {'; '.join(f'{name} {said(kind)}' for name, kind in kinds.items())}."


class Table:
    """``rows`` (lists of cells) under ``heads``, as a panel shows them; a cell's text is shown as it is, or its ``_repr_html_``."""

    def __init__(self, rows, heads, caption=""):
        self.rows, self.heads, self.caption = [list(row) for row in rows], list(heads), caption

    def _repr_html_(self):
        def cell(part, kind):
            shown = part._repr_html_() if hasattr(part, "_repr_html_") else escape(str(part))
            return f"<{kind}>{shown}</{kind.split()[0]}>"

        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        heads = "".join(cell(head, 'th scope="col"') for head in self.heads)
        rows = (cell(first, 'th scope="row"') + "".join(cell(c, "td") for c in rest) for first, *rest in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return (
            '<div class="kdlab-scroll" tabindex="0" role="group" aria-label="table">'
            f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self):
        return "\n".join("  ".join(map(str, row)) for row in [self.heads, *self.rows])


table = Table


class Code(str):
    """Code as text to copy."""

    __slots__ = ()

    def _repr_html_(self):
        return f'<pre tabindex="0" role="region" aria-label="Code"><code>{escape(self)}</code></pre>'


class Source(str):
    """A file's text, shown by its first and last lines, with a link that downloads all of it."""

    __slots__ = ("filename",)
    HEAD, TAIL = 10, 3  # lines

    def _repr_html_(self):
        lines = self.rstrip().split("\n")
        shown = lines if len(lines) <= self.HEAD + self.TAIL else [*lines[: self.HEAD], "    …", *lines[-self.TAIL :]]
        data, name = base64.b64encode(self.encode()).decode(), escape(self.filename)
        link = f'<a class="kdlab-button" download="{name}" href="data:text/plain;base64,{data}">Download {name}</a>'
        return f"{Code(chr(10).join(shown))._repr_html_()}<p>{link}</p>"


def source(text, filename):
    """Return a file's ``text`` as what a panel shows: how it begins and ends, and a link to download it as ``filename``."""
    made = Source(text)
    made.filename = filename
    return made


class Verdict(str):
    """A sentence about a paired difference, marked as better, worse or neither."""

    __slots__ = ("kind",)

    def _repr_html_(self):
        return f'<p class="kdlab-verdict kdlab-{self.kind}">{escape(self)}</p>'


def verdict(difference, first="distilled", second="alone"):
    """Say what a ``kdlab.evaluation.paired_difference`` of accuracies comes to, with its 95 % interval."""
    words = {
        "better": f"{first.capitalize()}: better than {second}.",
        "worse": f"{first.capitalize()}: worse than {second}.",
    }.get(difference.verdict, "No detectable difference (the interval contains 0).")
    sentence = Verdict(
        f"{words} {first.capitalize()} − {second}: {points(difference.mean)} percentage points, "
        f"95 % interval {points(difference.low)} to {points(difference.high)}."
    )
    sentence.kind = difference.verdict if difference.verdict in ("better", "worse") else "open"
    return sentence
