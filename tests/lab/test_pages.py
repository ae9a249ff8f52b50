"""Navigation and cards."""

import base64
import json
import re

import pytest

from kdlab.lab.pages import CHAPTERS, OWN, cards, footer, header, notebooks_folder, picture


def links(html):
    return re.findall(r'<a class="(kd-\w+)" href="([^"]+)"', html.data)


def test_home_leads_to_the_first_chapter_and_each_chapter_on_and_back():
    names = [f"{page.name}.ipynb" for page in CHAPTERS]
    assert links(header("index")) == [("kd-next", names[0])]
    for i, page in enumerate(CHAPTERS):
        wanted = [("kd-home", "index.ipynb")]
        if i > 0:
            wanted.insert(0, ("kd-prev", names[i - 1]))
        if i + 1 < len(names):
            wanted.append(("kd-next", names[i + 1]))
        assert links(footer(page.name)) == wanted


def test_a_card_per_chapter_that_is_there():
    assert links(cards())[: len(CHAPTERS)] == [("kd-card", f"{page.name}.ipynb") for page in CHAPTERS]
    for page in CHAPTERS:
        assert (notebooks_folder() / f"{page.name}.ipynb").exists()
        assert f"{page.minutes} minutes" in cards().data
    pictures = re.findall(r'<img class="kd-picture" src="data:image/png;base64,([^"]+)" alt="([^"]+)">', cards().data)
    assert [alt for _, alt in pictures] == [page.alt.replace("'", "&#x27;") for page in CHAPTERS]
    for content, page in zip(pictures, CHAPTERS, strict=True):
        assert base64.b64decode(content[0]) == (notebooks_folder() / "images" / f"{page.name}.png").read_bytes()


def test_a_notebook_put_beside_the_chapters_or_into_a_lecturers_folder_has_a_card(tmp_path, monkeypatch):
    beside, own = tmp_path / "beside", tmp_path / "own"
    for folder, name, heading in ((beside, "mine", "My page"), (own, "extra", "More"), (own, CHAPTERS[0].name, "Mine")):
        folder.mkdir(exist_ok=True)
        cell = {"cell_type": "markdown", "source": [f"# {heading}"], "metadata": {}}
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}}))
    monkeypatch.setattr("kdlab.lab.pages._image", lambda *picture: "")
    monkeypatch.setattr("kdlab.lab.pages.notebooks_folder", lambda: beside)
    assert links(cards())[len(CHAPTERS) :] == [("kd-card", "mine.ipynb")]
    monkeypatch.setenv(OWN, str(own))
    assert links(cards())[len(CHAPTERS) :] == [("kd-card", "mine.ipynb"), ("kd-card", "extra.ipynb")]
    assert "My page" in cards().data


def test_a_picture_has_another_for_narrow_screens_where_one_is_named():
    html = picture("diagram", "From <x> to y", "diagram_narrow").data
    assert 'alt="From &lt;x&gt; to y"' in html
    assert '<source media="(max-width: 600px)" srcset="data:image/png;base64,' in html
    assert "<source" not in picture("three", "A 3").data


def test_pictures_that_travel_within_the_page_are_small():
    for name in (*(page.name for page in CHAPTERS), "diagram", "diagram_narrow", "three", "three_narrow"):
        assert 1000 < (notebooks_folder() / "images" / f"{name}.png").stat().st_size < 40_000


def test_an_unknown_page_is_refused():
    with pytest.raises(ValueError, match="name must be one of index, 01_temperature_softening"):
        header("nonsense")
