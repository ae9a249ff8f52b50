"""`interact`: what is computed, when, in which order, and what is said where it fails. The test plays the browser."""

import re
import threading
from datetime import UTC, datetime
from functools import partial

import ipywidgets
import numpy as np
import pytest
import traitlets
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from traitlets.config import Config

from kdlab import figures, lab
from kdlab.lab.interaction import Queue
from kdlab.lab.widgets import FigureView, State

WAIT = 20  # seconds after which a test fails instead of standing still


@pytest.fixture
def queue():
    return Queue(rest=0.05)


def state(panel):
    return next(child for child in panel.children if isinstance(child, State))


def shown(panel):
    """The views of what was returned last."""
    return next(child for child in panel.children if "kdlab-result" in child._dom_classes).children


def words(panel):
    return [re.sub("<[^>]*>", "", view.value) for view in shown(panel)]


def settle(queue):
    """Wait until all that was asked so far is done."""
    done = threading.Event()
    queue.ask(lambda _: done.set(), None)
    assert done.wait(WAIT)


def on_screen(panel, width=640):
    """Do what the browser does with a panel that comes into view."""
    state(panel).set_trait("available", width)
    state(panel).set_trait("visible", True)
    return panel


def slider(value=1.0, **options):
    return ipywidgets.FloatSlider(value, min=0, max=10, **options)


@pytest.fixture
def cell():
    """Return a function that runs a cell in a shell of IPython's and returns the models of the panels that it shows."""
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.push({"lab": lab, "x": slider(), "f": lambda x: f"{x:g}"})

    def run(source):
        with capture_output(stdout=False) as shown:
            shell.run_cell(source).raise_error()
        return [output.data["application/vnd.jupyter.widget-view+json"]["model_id"] for output in shown.outputs]

    yield run
    InteractiveShell.clear_instance()


class Held:
    """A function that waits in its first call until it is let go, and keeps what it was called with."""

    def __init__(self):
        self.calls, self.started, self.go = [], threading.Event(), threading.Event()

    def __call__(self, x):
        self.calls.append(x)
        self.started.set()
        assert self.go.wait(WAIT)
        return f"x = {x:g}"


# ---- where it is shown


@pytest.mark.parametrize(
    "source",
    [
        "lab.interact(f, x=x)",
        "lab.interact(f, x=x)\nprint(1)",
        "panel = lab.interact(f, x=x)",
        "panel = lab.interact(f, x=x)\npanel",
        "from IPython.display import display\ndisplay(lab.interact(f, x=x))",
        "lab.interact(f, x=x)\nfor other in (1, 2):\n    lab.choice('n', [1, 2])",
    ],
)
def test_a_cell_shows_a_panel_once_wherever_it_makes_it(cell, source):
    assert len(cell(source)) == 1


def test_a_panel_is_shown_again_where_it_is_asked_for(cell):
    one, two = cell("panel = lab.interact(f, x=x)\nother = lab.interact(f, x=x)\npanel")
    assert one != two
    assert cell("panel") == [one]
    assert cell("other\n1\nother") == [two]
    assert cell("from IPython.display import display\ndisplay(panel)\ndisplay(panel)") == [one, one]


def test_a_panel_is_not_shown_without_a_shell(capsys):
    lab.interact(lambda x: f"{x:g}", x=slider())
    assert capsys.readouterr().out == ""


# ---- when it computes


def test_it_computes_by_itself_and_again_when_a_control_moves(queue):
    x = slider(2)
    panel = on_screen(lab.interact(lambda x: f"twice: {2 * x:g}", queue=queue, x=x))
    settle(queue)
    assert words(panel) == ["twice: 4"]
    x.value = 3.5
    settle(queue)
    assert words(panel) == ["twice: 7"]
    assert (panel.result, panel.values, state(panel).state) == ("twice: 7", {"x": 3.5}, "idle")


def test_the_latest_position_wins_and_a_running_one_finishes(queue):
    x, held = slider(0), Held()
    panel = on_screen(lab.interact(lambda x: held(x), queue=queue, x=x))
    assert held.started.wait(WAIT)
    for value in (1, 2, 3, 4):
        x.value = value
    held.go.set()
    settle(queue)
    assert held.calls == [0, 4]
    assert words(panel) == ["x = 4"]


def test_a_slider_in_two_panels_moves_both_once(queue):
    x, y, calls = slider(1), slider(5), []
    panels = [
        on_screen(lab.interact(lambda x: calls.append(("a", x)) or f"{x:g}", queue=queue, x=x)),
        on_screen(lab.interact(lambda x, y: calls.append(("b", x, y)) or f"{x * y:g}", queue=queue, x=x, y=y)),
    ]
    settle(queue)
    calls.clear()
    x.value = 3
    settle(queue)
    assert sorted(calls) == [("a", 3), ("b", 3, 5)]
    assert [words(panel) for panel in panels] == [["3"], ["15"]]
    y.value = 2
    settle(queue)
    assert calls[2:] == [("b", 3, 2)]


def test_what_is_not_on_the_screen_computes_when_it_comes_there_at_the_latest_position(queue):
    x, calls = slider(1), []
    panel = lab.interact(lambda x: calls.append(x) or "seen", queue=queue, x=x)
    for value in (2, 3):
        x.value = value
    settle(queue)
    assert calls == []
    on_screen(panel)
    settle(queue)
    assert calls == [3]
    state(panel).visible = False
    x.value = 4
    settle(queue)
    assert calls == [3]
    state(panel).visible = True
    settle(queue)
    assert calls == [3, 4]
    state(panel).visible = False
    state(panel).visible = True  # nothing changed meanwhile
    settle(queue)
    assert calls == [3, 4]


def test_the_panel_under_the_hand_goes_first_and_the_others_follow():
    queue, order, x, started, go = Queue(rest=0.2), [], slider(0), threading.Event(), threading.Event()

    def panel(name):
        def function(x):
            order.append((name, x))
            if x == 1:
                started.set()
                assert go.wait(WAIT)
            return name

        return on_screen(lab.interact(function, queue=queue, x=x))

    panels = [panel(name) for name in "abc"]
    settle(queue)
    order.clear()
    state(panels[2]).hand = True
    x.value = 1
    assert started.wait(WAIT)
    x.value = 2  # comes while the first position is computed
    go.set()
    settle(queue)
    assert order == [("c", 1), ("c", 2), ("a", 2), ("b", 2)]


def test_when_the_hand_leaves_the_others_need_not_wait_for_it():
    queue, ran = Queue(rest=3600), threading.Event()

    def mine(_):
        pass

    queue.ask(mine, 1, first=True)
    queue.ask(lambda _: ran.set(), 1)
    queue.leave(mine)
    assert ran.wait(WAIT)


def test_another_width_draws_again_at_that_width(queue):
    panel = on_screen(lab.interact(lambda x: figures.bars({"a": [x / 10, 0.5]}), queue=queue, x=slider(2)), 900)
    settle(queue)
    assert shown(panel)[0].width == 900
    state(panel).available = 358
    settle(queue)
    assert shown(panel)[0].width == 358
    state(panel).available = 4000
    settle(queue)
    assert shown(panel)[0].width == 1000


# ---- what it shows


def test_results_are_shown_in_their_order_and_views_are_kept(queue):
    x, button = slider(2), ipywidgets.Button(description="more")

    def function(x):
        table = lab.table([["mean", f"{x:g}"]], ["what", "value"])
        return figures.bars({"a": [0.5, x / 10]}), "one\ntwo < three", x / 3, table, button

    panel = on_screen(lab.interact(function, queue=queue, x=x))
    settle(queue)
    views = shown(panel)
    kinds = (FigureView, *[ipywidgets.HTML] * 3, ipywidgets.Button)
    assert all(isinstance(view, kind) for view, kind in zip(views, kinds, strict=True))
    assert views[0].png.startswith(b"\x89PNG")
    assert "a: 0 0.5, 1 0.2" in views[0].description
    assert views[1].value == "<p>one</p><p>two &lt; three</p>"
    assert "0.666667" in views[2].value
    assert '<th scope="row">mean</th><td>2</td>' in views[3].value
    assert views[4] is button
    before = views[0].png
    x.value = 9
    settle(queue)
    assert shown(panel) == views
    assert views[0].png != before
    assert "a: 1 0.9, 0 0.5" in views[0].description


def test_another_kind_of_result_gets_another_view(queue):
    x = slider(1)
    panel = on_screen(lab.interact(lambda x: "words" if x < 5 else Figure(), queue=queue, x=x))
    settle(queue)
    assert isinstance(shown(panel)[0], ipywidgets.HTML)
    x.value = 6
    settle(queue)
    assert isinstance(shown(panel)[0], FigureView)
    x.value = 2
    settle(queue)
    assert words(panel) == ["words"]


def test_a_function_without_controls_is_shown_once(queue):
    panel = on_screen(lab.interact(figures.diagram, queue=queue))
    settle(queue)
    assert shown(panel)[0].description.startswith("Diagram:")
    assert panel.values == {}


def test_two_panels_of_one_function_have_figures_of_their_own(queue):
    def function(x):
        return figures.bars({"a": [x / 10, 0.5]})

    panels = [on_screen(lab.interact(function, queue=queue, x=slider(value))) for value in (2, 8)]
    settle(queue)
    first, second = (panel.result for panel in panels)
    assert first is not second
    assert [figure.axes[0].patches[0].get_height() for figure in (first, second)] == [0.2, 0.8]


# ---- .result and .values


def test_result_is_computed_now_where_nothing_was_seen(queue):
    panel = lab.interact(lambda x, n: (f"{x:g}", n), queue=queue, x=slider(4), n=ipywidgets.IntSlider(3))
    assert panel.values is None
    assert panel.result == ("4", 3)
    assert panel.values == {"x": 4.0, "n": 3}
    assert words(panel) == ["4", "3"]


def test_result_raises_what_the_function_raises(queue):
    def broken(x):
        raise KeyError("no such student")

    panel = lab.interact(broken, queue=queue, x=slider())
    with pytest.raises(KeyError, match="no such student"):
        _ = panel.result
    assert panel.values is None


def test_result_waits_for_the_first_run_instead_of_running_it_twice(queue):
    held = Held()
    panel = on_screen(lab.interact(lambda x: held(x), queue=queue, x=slider(2)))
    assert held.started.wait(WAIT)
    got = []
    asking = threading.Thread(target=lambda: got.append(panel.result))
    asking.start()
    held.go.set()
    asking.join(WAIT)
    assert (got, held.calls) == (["x = 2"], [2])


# ---- a learner's function that does not do what it should


def failing(x):
    if x > 5:
        return 1 / (x - x)
    return f"fine at {x:g}"


def test_an_exception_is_a_sentence_with_its_line_and_the_last_good_view_stays(queue):
    x = slider(3, description="size")
    panel = on_screen(lab.interact(failing, queue=queue, x=x))
    settle(queue)
    x.value = 7
    settle(queue)
    assert state(panel).state == "failed"
    assert state(panel).message == (
        "ZeroDivisionError: float division by zero (line 3 of failing). What is shown was made for size = 3."
    )
    assert state(panel).stale
    assert words(panel) == ["fine at 3"]
    assert (panel.result, panel.values) == ("fine at 3", {"x": 3.0})
    x.value = 8
    settle(queue)
    assert "made for size = 3." in state(panel).message
    x.value = 2
    settle(queue)
    assert (state(panel).state, state(panel).message, state(panel).stale) == ("idle", "", False)
    assert words(panel) == ["fine at 2"]


def test_a_refused_value_is_said_in_its_own_words(queue):
    text = ipywidgets.Text("1, 2, 3")
    panel = on_screen(lab.interact(lambda z: str(lab.numbers(z, 3, "z")), queue=queue, z=text))
    settle(queue)
    for value, came in (("1, 2", "2 numbers"), ("1, 2, x", "'x'"), ("1, 2, nan", "one that is not finite")):
        text.value = value
        settle(queue)
        assert state(panel).message == (
            f"z must be 3 finite numbers with commas or blanks between them, got {came}. "
            "What is shown was made for z = 1, 2, 3."
        )


class Picture:
    """A function that has no name."""

    def __call__(self, x):
        return failing(x)


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (Picture(), ""),
        (partial(failing), ""),
        (lab.once(failing), " (line 3 of failing)"),
        (lambda x: failing(x), " (line 1 of <lambda>)"),
    ],
)
def test_functions_that_are_wrapped_or_have_no_name_fail_in_words_too(queue, function, where):
    panel = on_screen(lab.interact(function, queue=queue, x=slider(9)))
    settle(queue)
    assert state(panel).message == f"ZeroDivisionError: float division by zero{where}."


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
def test_who_leaves_the_program_leaves_the_other_panels_working(queue, leave):
    def leaving(x):
        if x > 2:
            raise leave
        return f"{x:g}"

    x, y = slider(1), slider(1)
    first = on_screen(lab.interact(leaving, x=x, queue=queue))
    second = on_screen(lab.interact(lambda y: f"other {y:g}", y=y, queue=queue))
    settle(queue)
    x.value = y.value = 3
    settle(queue)
    assert state(first).message.startswith(leave.__name__)
    assert words(first) == ["1"]
    assert words(second) == ["other 3"]


def test_a_queue_whose_thread_has_ended_gets_another_one():
    ended = Queue(rest=0.05)
    ended._thread = threading.Thread(target=lambda: None)
    ended._thread.start()
    ended._thread.join()
    settle(ended)


def test_an_error_without_words_is_named_by_its_kind(queue):
    def empty(x):
        raise ValueError

    panel = on_screen(lab.interact(empty, queue=queue, x=slider()))
    settle(queue)
    assert state(panel).message == "ValueError (line 2 of empty)."


def test_a_job_that_raises_does_not_end_the_queue(queue, capsys):
    def job(_):
        raise RuntimeError("of no panel")

    queue.ask(job, None)
    settle(queue)
    assert "RuntimeError: of no panel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "ends"), [("no.", "no."), ("no", "no."), ("which column?", "which column?"), ("stop!", "stop!")]
)
def test_what_went_wrong_ends_with_one_mark(queue, said, ends):
    def failing(x):
        raise ValueError(said)

    panel = on_screen(lab.interact(failing, queue=queue, x=slider(9)))
    settle(queue)
    assert state(panel).message == ends


def test_the_first_run_may_fail_too(queue):
    panel = on_screen(lab.interact(failing, queue=queue, x=slider(9)))
    settle(queue)
    assert state(panel).message == "ZeroDivisionError: float division by zero (line 3 of failing)."
    assert not state(panel).stale
    assert shown(panel) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "learner returned nothing to show: end it with return and a figure, words or a widget"),
        (np.zeros(3), "learner must return a matplotlib Figure, words, a number, a table .* got ndarray"),
        ([1, 2], "learner must return .* got list"),
        (("words", None), "learner returned nothing to show"),
        (("other words", {}), "learner must return .* got dict"),
    ],
)
def test_what_cannot_be_shown_is_named_and_nothing_of_it_is_shown(queue, wrong, said):
    def learner(x):
        return wrong if x > 5 else ("right", "and good")

    x = slider(1)
    panel = on_screen(lab.interact(learner, queue=queue, x=x))
    settle(queue)
    x.value = 6
    settle(queue)
    assert state(panel).state == "failed"
    assert re.match(said, state(panel).message)
    assert state(panel).message.endswith("What is shown was made for x = 1.")
    assert words(panel) == ["right", "and good"]


def test_a_figure_beside_what_cannot_be_shown_is_not_drawn_either(queue):
    def learner(x):
        return figures.bars({"a": [x / 10, 0.5]}), (None if x > 5 else "words")

    x = slider(1)
    panel = on_screen(lab.interact(learner, queue=queue, x=x))
    settle(queue)
    before = shown(panel)[0].png
    x.value = 6
    settle(queue)
    assert state(panel).state == "failed"
    assert shown(panel)[0].png == before


def test_a_slow_function_says_that_it_computes_and_keeps_what_it_had(queue):
    x, held = slider(1), Held()
    held.go.set()
    panel = on_screen(lab.interact(lambda x: held(x), queue=queue, x=x))
    settle(queue)
    held.go.clear()
    held.started.clear()
    x.value = 2
    assert held.started.wait(WAIT)
    assert state(panel).state == "computing"
    assert words(panel) == ["x = 1"]
    held.go.set()
    settle(queue)
    assert (state(panel).state, words(panel)) == ("idle", ["x = 2"])


def test_an_error_in_one_panel_leaves_the_others_working(queue):
    x = slider(9)
    bad, good = (on_screen(lab.interact(f, queue=queue, x=x)) for f in (failing, lambda x: f"{x:g}"))
    settle(queue)
    assert (state(bad).state, words(good)) == ("failed", ["9"])


def test_controls_that_were_empty_are_not_said(queue):
    column, file, x = ipywidgets.Text(description="column"), ipywidgets.FileUpload(), slider(1)
    panel = on_screen(lab.interact(lambda column, file, x: 1 / (x - 2), queue=queue, column=column, file=file, x=x))
    settle(queue)
    x.value = 2
    settle(queue)
    assert state(panel).message.endswith("What is shown was made for x = 1.")


def test_of_files_the_names_are_said_and_of_drawings_nothing(queue):
    upload, pad, x = ipywidgets.FileUpload(multiple=True), lab.Pad(), slider(1)
    panel = on_screen(lab.interact(lambda files, drawing, x: 1 / (x - 2), files=upload, drawing=pad, x=x, queue=queue))
    upload.value = tuple(
        {"name": name, "type": "", "size": 4, "content": b"GIF8", "last_modified": datetime.now(UTC)}
        for name in ("a.gif", "b.gif")
    )
    pad.value = [0.25] * 64
    settle(queue)
    x.value = 2
    settle(queue)
    assert state(panel).message.endswith("What is shown was made for Upload = a.gif, b.gif, x = 1.")


def test_the_name_of_an_option_is_said_and_not_its_value(queue):
    scenario = lab.choice("scenario", {"ten labels": 10, "all labels": 898})
    panel = on_screen(lab.interact(lambda scenario: 1 / (scenario - 898), queue=queue, scenario=scenario))
    settle(queue)
    scenario.value = 898
    settle(queue)
    assert state(panel).message.endswith("What is shown was made for scenario = ten labels.")


# ---- what is shown by a button


class Run:
    """A manual function that goes a step at a time."""

    def __init__(self, fails_at=None):
        self.steps, self.done, self.fails_at = threading.Semaphore(0), threading.Semaphore(0), fails_at

    def train(self, x, progress):
        finished = 0
        for k in range(1, 5):
            assert self.steps.acquire(timeout=WAIT)
            if progress.stopped():
                break
            if k == self.fails_at:
                raise RuntimeError("out of luck")
            finished = k
            progress(k, 4, f"{k} students of {x:g}")
            self.done.release()
        return f"{finished} students of {x:g}, at the end"


def button(panel):
    return panel.children[1].children[0]


def bar(panel):
    return panel.children[1].children[1]


def finish(panel):
    """Wait until the button is to be pressed again."""
    reached = threading.Event()

    def look(_=None):
        if button(panel).description == "Train":
            reached.set()

    button(panel).observe(look, "description")
    look()
    assert reached.wait(WAIT), state(panel).message
    with panel._lock:
        return state(panel).state


def manual(queue, run, x=None):
    x = x or slider(2)
    return on_screen(lab.interact(lambda x, progress: run.train(x, progress), manual="Train", queue=queue, x=x)), x


def test_a_button_computes_and_shows_how_far_it_is(queue):
    run = Run()
    panel, x = manual(queue, run)
    x.value = 3
    settle(queue)
    assert panel.values is None  # no move computes
    assert shown(panel) == ()
    button(panel).click()
    assert button(panel).description == "Stop"
    for k in (1, 2, 3):
        run.steps.release()
        assert run.done.acquire(timeout=WAIT)
        assert bar(panel).value == k / 4
        assert state(panel).message == f"{k} of 4 …"
        assert words(panel) == [f"{k} students of 3"]
    run.steps.release()
    assert finish(panel) == "idle"
    assert words(panel) == ["4 students of 3, at the end"]
    assert (button(panel).description, bar(panel).layout.display) == ("Train", "none")
    assert panel.values == {"x": 3.0}


def begun(queue, run, steps):
    """A panel whose run has come so far."""
    panel, _ = manual(queue, run)
    button(panel).click()
    for _ in range(steps):
        run.steps.release()
        assert run.done.acquire(timeout=WAIT)
    return panel


def test_stop_ends_it_and_keeps_what_was_finished(queue):
    run = Run()
    panel = begun(queue, run, 2)
    button(panel).click()
    assert button(panel).description == "Stopping …"
    run.steps.release()
    assert finish(panel) == "idle"
    assert words(panel) == ["2 students of 2, at the end"]
    assert state(panel).message == "Stopped at 2 of 4."
    assert button(panel).description == "Train"
    assert panel.result == "2 students of 2, at the end"


def test_what_takes_no_progress_cannot_be_stopped_and_shows_no_bar(queue):
    begun, may_end = threading.Event(), threading.Event()

    def train(x):
        begun.set()
        assert may_end.wait(WAIT)
        return f"trained for {x:g}"

    panel = on_screen(lab.interact(train, manual="Train", queue=queue, x=slider(2)))
    button(panel).click()
    assert begun.wait(WAIT)
    assert (button(panel).disabled, button(panel).description, bar(panel).layout.display) == (True, "Train", "none")
    button(panel).click()  # as one does that came before the browser knew
    may_end.set()
    assert panel.result == "trained for 2"
    assert finish(panel) == "idle"
    assert (state(panel).message, button(panel).disabled) == ("", False)


def test_who_stops_it_at_the_last_step_is_not_told_that_it_was_stopped(queue):
    run = Run()
    panel = begun(queue, run, 3)
    panel._progress(4, 4)
    button(panel).click()
    run.steps.release()
    assert finish(panel) == "idle"
    assert state(panel).message == ""


def test_what_a_button_made_is_marked_when_the_controls_move_on(queue):
    run = Run()
    panel, x = manual(queue, run)
    for _ in range(4):
        run.steps.release()
    button(panel).click()
    assert finish(panel) == "idle"
    assert not state(panel).stale
    x.value = 5
    assert state(panel).message == "Shown for x = 2; the controls have changed since."
    assert state(panel).stale
    x.value = 2
    assert (state(panel).message, state(panel).stale) == ("", False)


def test_controls_that_move_during_a_run_are_seen_at_its_end(queue):
    run = Run()
    panel, x = manual(queue, run)
    button(panel).click()
    run.steps.release()
    assert run.done.acquire(timeout=WAIT)
    x.value = 7
    for _ in range(3):
        run.steps.release()
    assert finish(panel) == "idle"
    assert words(panel) == ["4 students of 2, at the end"]
    assert state(panel).message == "Shown for x = 2; the controls have changed since."


def test_a_run_that_fails_gives_back_the_view_before_it(queue):
    run = Run()
    panel, x = manual(queue, run)
    for _ in range(4):
        run.steps.release()
    button(panel).click()
    assert finish(panel) == "idle"
    run.fails_at = 3
    x.value = 6
    for _ in range(3):
        run.steps.release()
    button(panel).click()
    assert finish(panel) == "failed"
    assert words(panel) == ["4 students of 2, at the end"]
    assert state(panel).message == "RuntimeError: out of luck (line 1 of <lambda>). What is shown was made for x = 2."
    assert button(panel).description == "Train"


def test_a_run_leaves_live_panels_free(queue):
    run = Run()
    panel, x = manual(queue, run)
    live = on_screen(lab.interact(lambda x: f"live {x:g}", queue=queue, x=x))
    button(panel).click()
    x.value = 4
    settle(queue)
    assert words(live) == ["live 4"]
    assert state(panel).state == "computing"
    for _ in range(4):
        run.steps.release()
    assert finish(panel) == "idle"


def test_a_function_with_progress_may_be_asked_for_its_result(queue):
    run = Run()
    panel, _ = manual(queue, run)
    for _ in range(4):
        run.steps.release()
    assert panel.result == "4 students of 2, at the end"


# ---- function and controls


@pytest.mark.parametrize(
    ("function", "controls", "said"),
    [
        (lambda t: "", {"temperature": slider()}, r"<lambda>\(t\) and the controls \(temperature\) .*missing.* 't'"),
        (lambda t, alpha: "", {"t": slider()}, r"\(t, alpha\) and the controls \(t\) .*missing.* 'alpha'"),
        (failing, {}, r"failing\(x\) and the controls \(none\) .*missing.* 'x'"),
        (failing, {"x": slider(), "y": slider()}, r"failing\(x\) and the controls \(x, y\) .*unexpected.* 'y'"),
    ],
)
def test_function_and_controls_that_do_not_fit_are_both_named(function, controls, said):
    with pytest.raises(ValueError, match=said):
        lab.interact(function, **controls)


def test_defaults_and_keywords_fit():
    assert lab.interact(lambda x, digits=3: f"{x:.{digits}f}", x=slider(2)).result == "2.000"
    assert lab.interact(lambda **values: str(sorted(values)), a=slider(), b=slider()).result == "['a', 'b']"


def test_no_function_at_all():
    with pytest.raises(ValueError, match="interact needs a function, got 'students'"):
        lab.interact("students", T=slider())


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ((0, 8), ipywidgets.IntSlider, 4),
        ((0.0, 1.0, 0.25), ipywidgets.FloatSlider, 0.5),
        (True, ipywidgets.Checkbox, True),
        ("some text", ipywidgets.Text, "some text"),
        (["one", "two"], ipywidgets.Dropdown, "one"),
        ({"ten": 10, "all": 898}, ipywidgets.Dropdown, 10),
    ],
)
def test_abbreviations_are_those_of_ipywidgets(given, kind, value):
    panel = lab.interact(lambda x: f"got {x!r}", x=given)
    control = panel.controls["x"]
    assert type(control) is kind
    assert control.description == "x"
    assert panel.result == f"got {value!r}"


@pytest.mark.parametrize("given", [object(), ipywidgets.fixed(3), None, ipywidgets.Button(), ()])
def test_what_makes_no_control_is_named(given):
    with pytest.raises(ValueError, match=r"the control of x must be a widget with a value.* got "):
        lab.interact(lambda x: "", x=given)


def test_a_grid_and_a_widget_of_ones_own_are_controls(queue):
    class Own(ipywidgets.DOMWidget):
        value = traitlets.Int(3)

    grid, own = lab.Grid(["a", "b"], value=1), Own()
    panel = on_screen(lab.interact(lambda g, o: f"{g} and {o}", queue=queue, g=grid, o=own))
    settle(queue)
    assert words(panel) == ["1 and 3"]
    grid.value, own.value = 0, 5
    settle(queue)
    assert words(panel) == ["0 and 5"]
