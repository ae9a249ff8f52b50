"""When the kernel of the next visitor is started."""

from concurrent.futures import Future

import pytest

from kdlab.lab import serving, worker


class Clock:
    """A clock that goes on by what is slept, and does what is planned at its times."""

    def __init__(self):
        self.now, self.plans = 0.0, {}

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        for when in [when for when in self.plans if when <= self.now]:
            self.plans.pop(when)()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(serving.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(serving.asyncio, "sleep", clock.sleep)
    return clock


@pytest.fixture
def kernels():
    return serving.Kernels()


def future(result):
    done = Future()
    done.set_result(result)
    return done


def ahead(started, run=True):
    """A kernel ahead of its visitor as Voila keeps it: started or not, its notebook run or not."""
    return [future({"task": future(None) if run else Future()}) if started else Future()]


def turn(kernels, clock, page):
    coroutine = kernels._turn(page)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    return clock.now


def test_before_the_first_visitor_at_once(kernels, clock):
    assert turn(kernels, clock, "a") == 0


def test_after_a_visitor_when_all_is_quiet(kernels, clock):
    kernels._pools = {"a": ahead(started=True)}
    kernels.visited("a")
    clock.plans[5] = lambda: kernels.visited("a")
    assert turn(kernels, clock, "a") == pytest.approx(5 + serving.REFILL_AFTER, abs=0.2)


@pytest.mark.parametrize("when", [0.05, 5])
def test_at_once_when_somebody_waits(kernels, clock, when):
    kernels._pools = {"a": ahead(started=False), "b": ahead(started=True)}
    kernels.visited("b")

    def come():
        kernels.visited("a")
        kernels.visited("b")  # another visitor of another page holds nobody up

    clock.plans[when] = come
    assert turn(kernels, clock, "a") == pytest.approx(when, abs=0.2)


@pytest.mark.parametrize(("ahead", "seconds"), [("True", serving.REFILL_AFTER), ("False", 0)])
def test_a_visitor_without_a_kernel_ahead_waits_for_nobody(kernels, clock, monkeypatch, ahead, seconds):
    async def start(self, **options):
        return "a kernel"

    monkeypatch.setattr(serving.AsyncMappingKernelManager, "_async_start_kernel", start)
    kernels.visited("a")
    coroutine = kernels._async_start_kernel(env={"VOILA_PREHEAT": ahead})
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value == "a kernel"
    assert clock.now == pytest.approx(seconds, abs=0.2)


def test_one_at_a_time(kernels, clock):
    kernels._pools = {"a": ahead(started=True, run=False), "b": ahead(started=False)}
    clock.plans[3] = lambda: kernels._pools["a"][0].result()["task"].set_result(None)
    assert turn(kernels, clock, "b") == pytest.approx(3, abs=0.2)


def test_the_home_page_first_then_chapter_after_chapter(kernels, clock):
    kernels._queue = ["01.ipynb", "index.ipynb"]
    clock.plans[1] = lambda: kernels._queue.remove("index.ipynb")
    clock.plans[2] = lambda: kernels._queue.remove("01.ipynb")
    assert turn(kernels, clock, "02.ipynb") == pytest.approx(2, abs=0.2)
    assert kernels._queue == []


@pytest.mark.parametrize(("ahead", "free", "warm"), [(True, 64e9, True), (True, 2e9, False), (False, 64e9, False)])
def test_tensorflow_is_imported_ahead_of_a_visitor_where_there_is_memory(monkeypatch, ahead, free, warm):
    imported = []
    monkeypatch.setattr(worker.importlib, "import_module", imported.append)
    monkeypatch.setattr(worker, "free_memory", lambda: free)
    monkeypatch.delenv("VOILA_PREHEAT", raising=False)
    if ahead:
        monkeypatch.setenv("VOILA_PREHEAT", "True")
    thread = worker.warm_up()
    if thread:
        thread.join()
    assert imported == (["kdlab.live.trainer"] if warm else [])
