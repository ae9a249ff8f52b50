"""The pages: which chapters there are, the navigation from one to the next, and the home page's cards."""

import base64
import json
import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

HOME = "index"
OWN = "KDLAB_NOTEBOOKS"
"""The environment variable that names the folder of a lecturer's own pages (``kdlab --notebooks``)."""


@dataclass(frozen=True)
class Chapter:
    """A page on the home page: its notebook's name without .ipynb and its title; ours have a sentence, minutes and a picture, too."""

    name: str
    title: str
    sentence: str = ""
    minutes: int = 0
    alt: str = ""


CHAPTERS = (
    Chapter(
        "01_temperature_softening",
        "Temperature softening",
        "Soften a teacher's answer yourself and see what a hard label hides: which 3 looks like an 8.",
        30,
        "One digit's probabilities at the temperatures 1 and 16.",
    ),
    Chapter(
        "02_response_based_kd",
        "Response-based distillation",
        "Every position of T and alpha trains ten real students while you watch: where it helps, and where it does not.",
        60,
        "Test accuracy of ten students alone and of their distilled pairs, a dot each.",
    ),
    Chapter(
        "03_feature_based_kd",
        "Feature-based distillation",
        "Match hidden layers of teacher and student and look inside: what the student learns, where it helps, and where it hurts.",
        60,
        "A table of how similar the layers of a teacher and of a student are.",
    ),
    Chapter(
        "04_medical_imaging",
        "Medical imaging",
        "Real tissue under the microscope: a student a thirtieth of its teacher's size, judged by clinical measures.",
        60,
        "Three nuclei, one of each class, under the microscope.",
    ),
    Chapter(
        "05_tinyml_export",
        "The way to a microcontroller",
        "Convert a student to 8-bit integers, see which real boards it fits on, and what distilling before quantising is worth.",
        30,
        "Weights of one unit, rounded to the seven levels of 3 bits.",
    ),
)


def notebooks_folder():
    """Return the folder of the notebooks: beside the package in a clone, inside it in an installed wheel."""
    package = Path(__file__).parents[1]
    inside = package / "notebooks"
    return inside if inside.is_dir() else package.parent / "notebooks"


def notebooks_in(folder):
    """Return the notebooks in a folder, sorted, without hidden ones, such as macOS puts beside others, and what only looks so."""
    return [file for file in sorted(folder.glob("*.ipynb")) if file.is_file() and not file.name.startswith(".")]


def header(name):
    """Return the style and navigation of the page ``name``, to be shown first."""
    return _html(f"{_style()}{_navigation(name)}")


def style():
    """Return the style of the pages alone, to be shown first in a notebook that is none of them, such as an exercise sheet."""
    return _html(_style())


def footer(name):
    """Return the navigation that ends the page ``name``."""
    return _html(_navigation(name))


def picture(name, alt, narrow=None):
    """Return a picture of the notebooks' folder "images", ``narrow`` instead of it on narrow screens, to be shown.

    It travels within the page: the dashboards' server hands out no files.
    """
    return _html(_image(name, alt, narrow))


def cards():
    """Return the home page's cards: one per chapter, with a picture, a sentence and minutes, and one per page that was added."""
    return _html(f'<div class="kd-cards">{"".join(_card(page) for page in (*CHAPTERS, *_own_pages()))}</div>')


def _own_pages():
    """Return the pages beside the shipped ones and in the folder ``OWN``, but for those that take the place of a shipped one."""
    shipped = {HOME, *(page.name for page in CHAPTERS)}
    folders = [Path(folder) for folder in (notebooks_folder(), os.environ.get(OWN)) if folder]
    # Of two files of one name the later is shown, the lecturer's.
    files = {file.stem: file for folder in folders for file in notebooks_in(folder)}
    return [Chapter(name, _title(file)) for name, file in files.items() if name not in shipped]


def _title(file):
    """Return a notebook's title: its metadata's, else its first heading, else its name."""
    try:
        book = json.loads(file.read_text("utf-8"))
        texts = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "markdown"]
        heading = re.search(r"^#+ +(.+)", "\n".join(texts), re.MULTILINE)
        return str(book["metadata"].get("title") or (heading[1] if heading else file.stem))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the page itself will say what is wrong
        return file.stem


def _style():
    return f"<style>{(Path(__file__).parent / 'static' / 'lab.css').read_text('utf-8')}</style>"


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
        f'<a class="kd-card" href="{quote(page.name)}.ipynb" target="_self">{_image(page.name, page.alt) if page.alt else ""}'
        f'<span class="kd-card-title">{escape(page.title)}</span><span>{escape(page.sentence)}</span>'
        f'<span class="kd-minutes">{f"{page.minutes} minutes" if page.minutes else ""}</span></a>'
    )


def _image(name, alt, narrow=None):
    """Return an image element; the pictures are made by ``python -m kdlab.lab.card_pictures``."""
    image = f'<img class="kd-picture" src="{_data(name)}" alt="{escape(alt)}">'
    source = f'<source media="(max-width: 600px)" srcset="{_data(narrow)}">' if narrow else ""
    return f"<picture>{source}{image}</picture>"


def _data(name):
    content = (notebooks_folder() / "images" / f"{name}.png").read_bytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
