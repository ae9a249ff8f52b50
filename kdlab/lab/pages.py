"""The pages: which chapters there are, the navigation from one to the next, and the home page's cards."""

import base64
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np

from ..datasets.dataset import digits_logits, load
from ..datasets.nuclei import CLASS_NAMES, fields
from ..softening import distillation_gradient, softmax

__all__ = ["CHAPTERS", "Page", "cards", "footer", "header", "notebooks_folder"]

HOME = "index"


@dataclass(frozen=True)
class Page:
    """A chapter: the notebook's name without .ipynb, its title, one sentence, minutes to read and play."""

    name: str
    title: str
    sentence: str
    minutes: int


CHAPTERS = (
    Page(
        "01_temperature_softening",
        "Temperature softening",
        "Soften a teacher's answer with your own hand and see what a hard label hides: which 3 looks like an 8.",
        15,
    ),
    Page(
        "02_response_based_kd",
        "Response-based distillation",
        "Every position of T and alpha trains ten real students while you look on, with error bars: where it helps, and where not.",
        40,
    ),
    Page(
        "03_feature_based_kd",
        "Feature-based distillation",
        "Tie hidden layers of teacher and student and look inside: what the student takes over, where it helps, and where it hurts.",
        40,
    ),
    Page(
        "04_medical_imaging",
        "Medical imaging",
        "Real tissue under the microscope: a student of a thirtieth of the size, judged as a clinic would, and what flatters it.",
        60,
    ),
    Page(
        "05_tinyml_export",
        "The way to a microcontroller",
        "Convert a student to whole numbers, hold it against real boards, and see what distilling before quantising is worth.",
        30,
    ),
)


def notebooks_folder():
    """Return the folder of the notebooks: beside the package in a clone, inside it in an installed wheel."""
    package = Path(__file__).parents[1]
    inside = package / "notebooks"
    return inside if inside.is_dir() else package.parent / "notebooks"


def header(name):
    """Return the style and navigation of the page ``name``, to be shown first."""
    style = "".join((Path(__file__).parent / "static" / file).read_text("utf-8") for file in ("page.css", "lab.css"))
    return _html(f"<style>{style}</style>{_navigation(name)}")


def footer(name):
    """Return the navigation that ends the page ``name``."""
    return _html(_navigation(name))


def cards():
    """Return the home page's cards: one per chapter, with a picture of real softened logits, a sentence and minutes."""
    return _html(f'<div class="kd-cards">{"".join(_card(page) for page in CHAPTERS)}</div>')


def _html(text):
    from IPython.display import HTML

    return HTML(text)


def _navigation(name):
    names = [HOME, *(page.name for page in CHAPTERS)]
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}, got {name!r}")
    titles = {HOME: "Home", **{page.name: page.title for page in CHAPTERS}}
    at = names.index(name)
    links = []
    if at > 1:
        links.append(_link(names[at - 1], f"← {titles[names[at - 1]]}", "prev"))
    if at > 0:
        links.append(_link(HOME, "Home", "home"))
    if at + 1 < len(names):
        links.append(_link(names[at + 1], f"{titles[names[at + 1]]} →", "next"))
    return f'<nav class="kd-nav" aria-label="Chapters"><span class="kd-brand">kdlab</span>{"".join(links)}</nav>'


def _link(name, text, relation):
    # Without a target Jupyter's renderer opens a new tab, and the old page's kernel stays.
    return f'<a class="kd-{relation}" href="{name}.ipynb" target="_self">{escape(text)}</a>'


def _card(page):
    return (
        f'<a class="kd-card" href="{page.name}.ipynb" target="_self">{_PICTURES[page.name]()}'
        f'<span class="kd-card-title">{escape(page.title)}</span><span>{escape(page.sentence)}</span>'
        f'<span class="kd-minutes">{page.minutes} minutes</span></a>'
    )


def _bars_picture():
    """Return an SVG: one ambiguous digit's real probabilities at T = 1, 4 and 16."""
    teacher = digits_logits()["teacher"]
    two_best = np.sort(softmax(teacher), axis=1)[:, -2:]
    logits = teacher[np.argsort(two_best[:, 1] - two_best[:, 0])[0]]
    groups = []
    for g, (temperature, colour) in enumerate(((1, "#e69f00"), (4, "#0072b2"), (16, "#56b4e9"))):
        bars = "".join(
            f'<rect x="{8 + 104 * g + 9 * k}" y="{92 - 76 * p:.1f}" width="7" height="{76 * p + 1:.1f}"/>'
            for k, p in enumerate(softmax(logits, temperature))
        )
        groups.append(
            f'<g fill="{colour}">{bars}</g><text x="{53 + 104 * g}" y="110" text-anchor="middle">T = {temperature}</text>'
        )
    return (
        '<svg viewBox="0 0 312 118" role="img" aria-label="One digit\'s probabilities at three temperatures">'
        f"{''.join(groups)}</svg>"
    )


def _landscape_picture():
    """Return an SVG: how large the loss's gradient on real logits is, over temperature and alpha."""
    logits, labels = digits_logits(), load("digits").test.y
    cells = []
    for i, temperature in enumerate(np.geomspace(1, 32, 12)):
        for j, alpha in enumerate(np.linspace(1, 0, 6)):
            gradient = distillation_gradient(logits["student"], logits["teacher"], labels, temperature, alpha)
            size = np.linalg.norm(gradient * len(labels), axis=1).mean()
            cells.append(
                f'<rect x="{30 + 21 * i}" y="{6 + 14 * j}" width="20" height="13" opacity="{min(1, size / 3.3):.2f}"/>'
            )
    return (
        '<svg viewBox="0 0 312 118" role="img" aria-label="Size of the gradient over temperature and alpha">'
        f'<g fill="#0072b2">{"".join(cells)}</g><text x="156" y="108" text-anchor="middle">temperature →</text>'
        '<text transform="translate(20 48) rotate(-90)" text-anchor="middle">alpha →</text></svg>'
    )


def _similarities_picture():
    """Return an SVG: how alike teacher and begun student find each two of twenty digits, two of every class."""
    logits, labels = digits_logits(), load("digits").test.y
    chosen = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(10)])
    tables = []
    for left, name in ((44, "teacher"), (174, "student")):
        rows = logits[name][chosen] / np.linalg.norm(logits[name][chosen], axis=1, keepdims=True)
        cells = "".join(
            f'<rect x="{left + 4.8 * j:.1f}" y="{2 + 4.8 * i:.1f}" width="4.8" height="4.8" opacity="{alike:.1f}"/>'
            for (i, j), alike in np.ndenumerate(rows @ rows.T)
            if alike > 0.15
        )
        tables.append(f'<g fill="#0072b2">{cells}</g><text x="{left + 48}" y="113" text-anchor="middle">{name}</text>')
    return (
        '<svg viewBox="0 0 312 118" role="img" aria-label="How alike two networks find each two of twenty digits">'
        f"{''.join(tables)}</svg>"
    )


def _nuclei_picture():
    """Return an SVG: a real nucleus of each class."""
    from PIL import Image

    field, pictures = fields()["nest"], []
    for c, name in enumerate(CLASS_NAMES):
        row, column = field.centres[np.flatnonzero(field.y == c)[100]].astype(int)
        file = BytesIO()
        Image.fromarray(field.image[row - 24 : row + 24, column - 24 : column + 24]).save(file, "JPEG", quality=90)
        data = base64.b64encode(file.getvalue()).decode()
        pictures.append(
            f'<image x="{8 + 104 * c}" y="2" width="88" height="88" href="data:image/jpeg;base64,{data}"/>'
            f'<text x="{52 + 104 * c}" y="110" text-anchor="middle">{name}</text>'
        )
    return f'<svg viewBox="0 0 312 118" role="img" aria-label="A nucleus of each class">{"".join(pictures)}</svg>'


def _levels_picture():
    """Return an SVG: the logits of a begun student for one digit above, and rounded to 3 bits, 7 levels, below."""
    logits = digits_logits()["student"][0]
    most = np.abs(logits).max()
    rounded = np.rint(logits / most * 3) / 3
    lines = "".join(
        f'<line x1="{156 + 47 * k}" x2="{156 + 47 * k}" y1="18" y2="86" stroke="#c3ccd4"/>' for k in range(-3, 4)
    )
    dots = "".join(
        f'<path d="M{156 + 141 * z / most:.1f} 28L{156 + 141 * q:.1f} 76" stroke="#54606d" opacity="0.6"/>'
        f'<circle cx="{156 + 141 * z / most:.1f}" cy="28" r="5" fill="#0072b2"/>'
        f'<circle cx="{156 + 141 * q:.1f}" cy="76" r="5" fill="#e69f00"/>'
        for z, q in zip(logits, rounded, strict=True)
    )
    return (
        '<svg viewBox="0 0 312 118" role="img" aria-label="Ten numbers rounded to seven levels">'
        f'{lines}{dots}<text x="156" y="110" text-anchor="middle">3 bits: 7 levels</text></svg>'
    )


_PICTURES = {
    "01_temperature_softening": _bars_picture,
    "02_response_based_kd": _landscape_picture,
    "03_feature_based_kd": _similarities_picture,
    "04_medical_imaging": _nuclei_picture,
    "05_tinyml_export": _levels_picture,
}
