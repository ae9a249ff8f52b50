"""Navigation and cards."""

import re

import pytest

from kdlab.lab.pages import CHAPTERS, cards, footer, header, notebooks_folder


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
    assert links(cards()) == [("kd-card", f"{page.name}.ipynb") for page in CHAPTERS]
    for page in CHAPTERS:
        assert (notebooks_folder() / f"{page.name}.ipynb").exists()
        assert f"{page.minutes} minutes" in cards().data
    assert cards().data.count("<svg") == len(CHAPTERS)


def test_an_unknown_page_is_refused():
    with pytest.raises(ValueError, match="name must be one of index, 01_temperature_softening"):
        header("nonsense")
