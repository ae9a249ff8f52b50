"""Files from elsewhere: downloaded once, checked, kept in the cache; without a network, what to put where."""

import logging
from contextlib import contextmanager
from pathlib import Path

from ..cache import cache_folder, explained

_PATIENCE = 30  # seconds without an answer


def fetch(url, checksum, file_name, name):
    """Return the path of a file in the cache, downloaded from ``url`` with a progress bar unless it is there.

    ``checksum`` is "md5:…" or "sha256:…", ``name`` what ``kdlab.load`` calls the data. A file that the user put into
    the cache by hand is as good. Raises ValueError for a file of another checksum and OSError where there is no
    network or no space; then nothing is kept.
    """
    import pooch

    path = cache_folder("downloads") / file_name
    by_hand = f"download {url} yourself and put it at {path}, where kdlab.load({name!r}) finds it"
    if path.exists():
        by_hand += " (the file there now has another checksum)"
    with _by_hand(name, by_hand), explained(path.parent), _quiet(pooch.get_logger()):
        try:
            pooch.retrieve(url, checksum, fname=file_name, path=path.parent, downloader=_download)
        except ValueError as error:
            raise ValueError(
                f"{url} gave a file whose checksum is not the published {checksum}, so it was not kept: "
                f"try again later, or {by_hand}"
            ) from error
    return path


def fetch_kaggle(handle, name, holds):
    """Return the folder of a version of a Kaggle data set, "owner/name/versions/1", that kagglehub downloads once.

    Where kagglehub has it already, or where the user put it into our cache by hand, no network is needed. ``name`` is
    what ``kdlab.load`` calls it, ``holds`` what the folder holds. Raises OSError where it cannot be had.
    """
    folder = cache_folder("downloads")
    given = folder / name
    if given.is_dir():
        return given
    page = f"https://www.kaggle.com/datasets/{handle.partition('/versions/')[0]}"
    by_hand = f"download {page} yourself and unpack it to {given}, so that it holds {holds}, where kdlab.load({name!r}) finds it"
    with _by_hand(name, by_hand), explained(folder):
        import kagglehub

        return Path(kagglehub.dataset_download(handle))


def _download(url, path, pooch):
    """Write what is at ``url`` to ``path``, as pooch asks for, with a bar on standard error."""
    import requests
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with requests.get(url, stream=True, timeout=_PATIENCE) as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("content-length", 0)) or None
        with Progress(*columns, console=Console(stderr=True)) as progress, open(path, "wb") as file:
            task = progress.add_task(url.rsplit("/", 1)[-1], total=size)
            for block in answer.iter_content(2**16):
                file.write(block)
                progress.advance(task, len(block))


@contextmanager
def _by_hand(name, by_hand):
    """Turn what a failed download raises into one line that says what to do instead."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        answer = getattr(error, "response", None)
        reason = f"the server answered {answer.status_code}" if answer is not None else "no connection"
        raise OSError(f"{name} could not be downloaded ({reason}): {by_hand}") from error


@contextmanager
def _quiet(logger):
    """Keep pooch from saying in words what the bar shows."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
