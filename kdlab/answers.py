"""What a reader has answered: the questions of a page and the results of checks, one record per process.

``record`` is what questions call, and what any check may; ``kdlab.lab.Page`` shows the record to the browser, which keeps
it and lets it be downloaded.
"""

from datetime import UTC, datetime

LONGEST = 500  # characters of an answer that are kept


class Record:
    """Answers by what was asked: ``given`` is {question: {"answer", "correct", "message", "tries", "time"}}.

    ``time`` is that of the last try, ISO 8601 in UTC. ``watch(function)`` has ``function()`` called after every change.
    """

    def __init__(self):
        self.given, self._watching = {}, []

    def add(self, asked, answer, correct, message=""):
        """Note an answer to what was ``asked``, whether it is correct, and what was said to it; a new one replaces the old."""
        tries = self.given.get(asked, {}).get("tries", 0) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"answer": str(answer)[:LONGEST], "correct": bool(correct), "message": str(message), "tries": tries}
        self.replace({**self.given, asked: {**entry, "time": now}})

    def replace(self, given):
        """Take ``given`` for all that was answered, less what is no entry: a browser's store may hold anything."""
        self.given = {asked: entry for asked, entry in given.items() if _is_entry(entry)}
        for function in self._watching:
            function()

    def watch(self, function):
        """Call ``function()`` whenever something changed."""
        self._watching.append(function)


def _is_entry(entry):
    kinds = {"answer": str, "correct": bool, "message": str, "tries": int, "time": str}
    return isinstance(entry, dict) and {name: type(part) for name, part in entry.items()} == kinds


RECORD = Record()


def record(asked, answer, correct, message=""):
    """Note an answer in this process's record; see ``Record.add``."""
    RECORD.add(asked, answer, correct, message)
