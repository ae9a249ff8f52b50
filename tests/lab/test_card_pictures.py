"""The home page's pictures are those that the script draws, and show what their words say."""

import io

import numpy as np
from matplotlib.text import Text
from PIL import Image

from kdlab.figures import pixels
from kdlab.lab import card_pictures
from kdlab.lab.pages import notebooks_folder


def test_the_stored_pictures_are_the_ones_that_are_drawn():
    drawn = card_pictures.draw()
    folder = notebooks_folder() / "images"
    assert set(drawn) | {"response", "temperature"} == {path.stem for path in folder.glob("*.png")}
    for name, content in drawn.items():
        now, stored = (
            np.asarray(Image.open(file).convert("L"), float) for file in (io.BytesIO(content), folder / f"{name}.png")
        )
        assert now.shape == stored.shape
        assert np.abs(now - stored).mean() < 8, name  # fonts and training differ a little by machine


def test_their_letters_can_be_read_and_none_is_cut_off_at_the_width_they_are_shown_at():
    for name, (figure, width) in card_pictures.pictures().items():
        pixels(figure, width)
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        assert min(t.get_fontsize() * 100 / 72 for t in texts) >= 11, name
        page, labels = (
            figure.bbox.padded(1),
            [t for a in figure.axes for t in (*a.get_xticklabels(), *a.get_yticklabels())],
        )
        inside = [t.get_window_extent() for t in texts if t not in labels]  # some are of ticks beyond the axis
        assert all(page.contains(*box.min) and page.contains(*box.max) for box in inside), name


def test_the_three_looks_a_little_like_an_eight():
    label = card_pictures._three().get_label()
    assert "hard label: 3 1" in label
    assert "the teacher at T = 4: 3 0." in label
    assert ", 8 0." in label.split("the teacher")[1]
