"""The worker: latest wins, a running job finishes, and what goes wrong is said."""

import threading

from kdlab.lab.worker import Worker


def test_latest_wins_and_a_running_job_finishes():
    done, said, go, started = [], [], threading.Event(), threading.Event()

    def job(request):
        started.set()
        go.wait(10)
        done.append(request)

    worker = Worker(job, lambda *words: said.append(words))
    worker.submit(1)
    assert started.wait(10)
    for request in (2, 3, 4):
        worker.submit(request)
    assert worker.superseded
    go.set()
    assert worker.join(10)
    assert done == [1, 4]
    assert said == [("computing", ""), ("idle", "")] * 2


def test_errors_are_said_and_the_worker_goes_on():
    said = []

    def job(request):
        if request == "value":
            raise ValueError("alpha must be a number from 0 to 1, got 2")
        if request == "other":
            raise ZeroDivisionError("division by zero")

    worker = Worker(job, lambda *words: said.append(words))
    for request in ("value", "other", "good"):
        worker.submit(request)
        assert worker.join(10)
    assert said == [
        ("computing", ""),
        ("failed", "alpha must be a number from 0 to 1, got 2"),
        ("computing", ""),
        ("failed", "ZeroDivisionError: division by zero"),
        ("computing", ""),
        ("idle", ""),
    ]
