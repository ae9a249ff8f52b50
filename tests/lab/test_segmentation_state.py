"""U-Nets of the page: what is shown is what was trained, and a kind with the same settings is not trained again."""

import numpy as np
import pytest

from kdlab import unet
from kdlab.lab import segmentation_state
from kdlab.lab.segmentation import RULES, segmentation_panel
from kdlab.lab.segmentation_state import DEFAULTS, LABELLED, SHOWN, SegmentationState
from kdlab.segmentation import SIDE, dice, dice_differences, dice_intervals, load_tiles, overlaps


def few(split):
    """Every so many tiles: of the test region 22, of the others 11 and 5."""
    whole, step = load_tiles(split), 3 if split == "test" else 10
    return type(whole)(*(getattr(whole, name)[::step] for name in vars(whole)))


@pytest.fixture(scope="module", autouse=True)
def short():
    """Two seeds of two points of one batch, on a few tiles, with a teacher that nobody trained."""
    patch = pytest.MonkeyPatch()
    for name, value in {"SEEDS": 2, "POINTS": 2, "STEPS": 1, "BATCH": 4, "WIDTH": 2}.items():
        patch.setattr(segmentation_state, name, value)
    patch.setattr(segmentation_state, "_load_teacher", lambda: unet.unet(3, seed=1))

    patch.setattr(segmentation_state, "load_tiles", few)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def trained():
    """A state, and the results its training told of."""
    state, told = SegmentationState(), []
    state.train(told.append, **DEFAULTS)
    return state, told


def maps(figures):
    return np.frombuffer(figures["maps"], np.uint8).reshape(-1, SIDE, SIDE)


def test_every_point_is_told_and_the_last_has_the_differences(trained):
    _, told = trained
    assert [(result["done"], result["total"]) for result in told] == [(k, 8) for k in range(1, 9)]
    assert [list(result["networks"]) for result in told] == [["teacher", "alone"]] * 4 + [
        ["teacher", "alone", "distilled"]
    ] * 4
    assert [len(run) for run in told[2]["networks"]["alone"]["curves"]] == [2, 1]
    assert [result["networks"]["alone"]["dice"] is None for result in told] == [True] * 3 + [False] * 5
    assert all(result["differences"] is result["pairs"] is None for result in told[:-1])


def test_figures_are_those_of_the_students_on_all_test_tiles(trained):
    state, told = trained
    test, counts = few("test"), {}
    for kind, (_, result) in state._kept.items():
        counts[kind] = np.stack([overlaps(unet.segment(s, test.x), test.classes) for s in result.students])
        figures = told[-1]["networks"][kind]
        np.testing.assert_allclose(figures["dice"], dice_intervals(counts[kind]))
        np.testing.assert_array_equal(maps(figures), unet.segment(result.students[-1], test.x[state.shown()]))
        assert figures["parameters"] == result.students[0].count_params()
        np.testing.assert_allclose(figures["curves"], result.validation_dice, atol=1e-4)
    differences = dice_differences(counts["distilled"], counts["alone"])
    for found, expected in zip(told[-1]["differences"], differences, strict=True):
        assert (found["mean"], found["verdict"]) == (pytest.approx(expected.mean), expected.verdict)
    assert np.mean(told[-1]["pairs"]) == pytest.approx(differences[-1].mean)
    first = dice(counts["distilled"][0]).mean() - dice(counts["alone"][0]).mean()
    assert told[-1]["pairs"][0] == pytest.approx(first)


def test_each_kind_has_its_loss_and_those_alone_are_not_trained_again(trained, monkeypatch):
    asked, train = [], unet.UNetTrainer.train

    def spy(self, **settings):
        asked.append([settings[name] for name in ("temperature", "alpha", "labelled")])
        return train(self, **settings)

    monkeypatch.setattr(unet.UNetTrainer, "train", spy)
    state, told = trained[0], []
    state.train(told.append, **DEFAULTS | {"temperature": 5.0})
    assert asked == [[5.0, DEFAULTS["alpha"], LABELLED["few"]]]
    assert [result["done"] for result in told] == [4, 5, 6, 7, 8]
    before, after = trained[1][-1]["networks"], told[-1]["networks"]
    assert after["alone"] == before["alone"]
    assert after["distilled"] != before["distilled"]
    asked.clear()
    state.train(told.append, temperature=5.0, alpha=0.3, labelled="all")
    assert asked == [[1.0, 0.0, None], [5.0, 0.3, None]]


def test_a_stop_ends_it_and_keeps_the_kinds_that_were_trained(trained):
    state, told = trained[0], []
    state.train(told.append, lambda: len(told) == 2, temperature=1.5, alpha=2.0, labelled="all")
    assert [result["done"] for result in told] == [4, 5]  # those alone were there from the test before
    assert told[-1]["differences"] is None
    assert told[-1]["networks"]["distilled"]["dice"] is None


def test_shown_tiles_are_those_with_most_of_the_class_they_have_least_of(trained):
    state = trained[0]
    chosen = state.shown()
    assert len(set(chosen.tolist())) == sum(SHOWN.values())
    assert state.test.fields[chosen].tolist() == [name for name, many in SHOWN.items() for _ in range(many)]
    pixels = state.test.masks().sum(axis=(1, 2)).min(axis=1)
    nest = state.test.fields == "nest"
    assert pixels[chosen[: SHOWN["nest"]]].min() == np.sort(pixels[nest])[-SHOWN["nest"]]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", 0.1, "temperature must be a number from 0.5 to 20, got 0.1"),
        ("temperature", "2", "temperature must be a finite number above 0, got '2'"),
        ("alpha", 11, "alpha must be a number from 0.01 to 10, got 11"),
        ("labelled", "none", "labelled must be one of few, all, got 'none'"),
    ],
)
def test_a_bad_position_is_refused(name, value, said):
    with pytest.raises(ValueError, match=said):
        SegmentationState().train(None, **DEFAULTS | {name: value})


def test_the_panel_shows_the_teacher_when_asked_and_trains_when_asked(monkeypatch):
    def train(self, progress, stop, **position):
        self.check(**position)
        progress({"position": position, "done": 1, "stop": stop()})

    monkeypatch.setattr(SegmentationState, "train", train)
    panel = segmentation_panel({"page_id": "page", "rules": RULES | {"another": {}}, "more": 1})
    panel.request = {"look": True}
    assert panel.worker.join(60)
    assert list(panel.result["networks"]) == ["teacher"]
    assert len(panel.result["networks"]["teacher"]["maps"]) == len(panel.tiles["classes"]) == 6 * SIDE**2
    panel.request = DEFAULTS | {"counter": 1}
    assert panel.worker.join(60)
    assert panel.result.pop("seconds") >= 0
    assert (panel.status, panel.result) == ("idle", {"position": DEFAULTS, "done": 1, "stop": False})
    panel.request = DEFAULTS | {"alpha": 99}
    assert panel.worker.join(60)
    assert (panel.status, panel.message) == ("failed", "alpha must be a number from 0.01 to 10, got 99")
    assert panel.result["done"] == 1
