"""The landscape: a chosen cell moves the sliders, and sliders that move away let it go."""

import pytest

from kdlab import lab
from kdlab.lab.landscape import Landscape


@pytest.fixture
def sliders():
    return lab.temperature(4), lab.alpha(0.9)


@pytest.fixture
def landscape(sliders):
    return Landscape([1.0, 2.0, 4.0], [0.5, 0.9], *sliders)


def test_a_cell_moves_both_sliders_and_stays_chosen(landscape, sliders):
    for cell, position in enumerate([(1, 0.5), (1, 0.9), (2, 0.5), (2, 0.9), (4, 0.5), (4, 0.9)]):
        landscape.grid.value = cell
        assert tuple(slider.value for slider in sliders) == position
        assert landscape.grid.value == cell


@pytest.mark.parametrize("moved", [0, 1])
def test_sliders_that_move_away_let_the_cell_go_and_it_can_be_chosen_again(landscape, sliders, moved):
    landscape.grid.value = 2
    sliders[moved].value = (8.0, 0.25)[moved]
    assert landscape.grid.value is None
    landscape.grid.value = 2
    assert tuple(slider.value for slider in sliders) == (2, 0.5)


def test_the_nearest_step_of_a_slider_is_the_same_position(landscape, sliders):
    landscape = Landscape([5.0, 10.0], [0.5, 0.9], *sliders)
    landscape.grid.value = 1
    sliders[0].value = 2 ** (19 / 8)  # as the browser may write it back
    assert landscape.grid.value == 1
    sliders[0].value = 2 ** (18 / 8)
    assert landscape.grid.value is None


def test_an_observer_that_fails_does_not_hold_a_cell(landscape, sliders):
    sliders[0].observe(lambda _: 1 / 0, "value")
    with pytest.raises(ZeroDivisionError):
        landscape.grid.value = 2
    sliders[0].unobserve_all("value")
    assert not landscape._moving


def test_best_is_chosen_again_after_the_sliders_have_moved(landscape, sliders):
    landscape._best, landscape.button.disabled = 5, False
    landscape.button.click()
    sliders[0].value = 1.0
    assert landscape.grid.value is None
    landscape.button.click()
    assert tuple(slider.value for slider in sliders) == (4, 0.9)
    assert landscape.grid.value == 5
