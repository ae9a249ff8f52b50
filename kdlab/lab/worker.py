"""A thread for the work of one panel: the latest request wins, and what goes wrong is said, not swallowed."""

import threading

__all__ = ["Worker"]


class Worker:
    """Runs ``job(request)`` in a thread of its own: a newer request replaces a waiting one, a running one finishes.

    ``report(status, message)`` is called with "computing", "idle" or "failed"; a ValueError's own words are the
    message, any other exception is named with its type. The thread ends with the process.
    """

    def __init__(self, job, report):
        self._job, self._report = job, report
        self._waiting = None
        self._wake = threading.Condition()
        self._thread = None
        self._busy = False

    def submit(self, request):
        """Ask for ``request``; returns at once."""
        with self._wake:
            self._waiting = (request,)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def join(self, timeout=60):
        """Wait until nothing is waiting or running; returns whether that came about in ``timeout`` seconds."""
        with self._wake:
            return self._wake.wait_for(lambda: self._waiting is None and not self._busy, timeout)

    @property
    def superseded(self):
        """Whether a newer request waits while one is running."""
        return self._waiting is not None

    def _run(self):
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting is not None)
                (request,), self._waiting, self._busy = self._waiting, None, True
            try:
                self._report("computing", "")
                self._job(request)
                self._report("idle", "")
            except ValueError as error:
                self._report("failed", str(error))
            except Exception as error:
                self._report("failed", f"{type(error).__name__}: {error}")
            with self._wake:
                self._busy = False
                self._wake.notify_all()
