"""What tests share: few digits, a cache of their own, a web server on this machine, a disk that is full."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl
from sklearn.datasets import load_digits
from xdist.scheduler import LoadFileScheduling

import kdlab
from kdlab.datasets.dataset import Split
from kdlab.lab.kernels import start_forkserver
from kdlab.quiet import without_standard_error

# As the command line does: a parser that takes seconds to import, which nbformat's dependencies never ask anything.
sys.modules.setdefault("rfc3987_syntax", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes already share the processors
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


class _Schedule(LoadFileScheduling):
    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "pages" if file.endswith(("_page.py", "/test_pages.py")) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file of tests in one process, and in one process all those of pages that compute, with one server."""
    return _Schedule(config, log)


def pytest_collection_finish():
    """Spare garbage collection, which Keras asks for often, the modules that are there to stay; show tracebacks whole.

    What shortens tracebacks is around every operation, and takes a twentieth of a training's tracing. OpenBLAS's threads
    spin while they wait for work.
    """
    threadpoolctl.threadpool_limits(1, "blas")
    if "keras" in sys.modules:
        sys.modules["keras"].config.disable_traceback_filtering()
        _compile_fast(sys.modules["tensorflow"])
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # what a trace leaves is looked through less often


def _compile_fast(tf):
    """What is compiled here runs a few times: to make it fast takes a fifth of the tests that compile.

    In kernels programs are as users have them: those of one kernel are there for the next. XLA reads its flags once.
    """
    tf.debugging.disable_traceback_filtering()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    with pytest.MonkeyPatch.context() as patch, without_standard_error():
        patch.setenv("XLA_FLAGS", FAST)
        tf.function(lambda: tf.zeros(()), jit_compile=True)()


@pytest.fixture(scope="session", autouse=True)
def _sweeps_leave_garbage():
    """A sweep collects it behind every point, which takes a second in a process that has run other tests."""
    with pytest.MonkeyPatch.context() as patch:
        if "keras" in sys.modules:  # else nothing here trains
            patch.setattr("kdlab.runs.sweeps.gc", SimpleNamespace(collect=int))
        yield


@pytest.fixture
def run_async():
    """Run a coroutine in a thread of its own: Playwright leaves a running loop in that of the tests."""

    def run(coroutine):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, coroutine).result()

    return run


@pytest.fixture(scope="session")
def tenth_of_digits():
    """Every tenth of scikit-learn's digits, in each split."""
    digits = kdlab.load("digits")
    splits = {name: getattr(digits, name) for name in ("train", "validation", "test")}
    return replace(digits, **{name: Split(split.x[::10], split.y[::10]) for name, split in splits.items()})


@pytest.fixture(scope="session")
def write_digits():
    """A function that writes data.npz into a folder: 300 digits to train on and 100 to test with, as grey images."""

    def write(folder):
        images, labels = load_digits(return_X_y=True)
        images = np.rint(images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
        parts = {"x_train": images[:300], "y_train": labels[:300], "x_test": images[300:400], "y_test": labels[300:400]}
        np.savez(folder / "data.npz", **parts)

    return write


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """A function that starts a script in a process of its own and returns it: a fork of what kernels are forked from.

    A process has one of that kind, and what it has imported is settled by who needs it first.
    """
    start_forkserver()
    context = multiprocessing.get_context("forkserver")

    def launch(script):
        file = tmp_path_factory.mktemp("script") / "script.py"
        environment = {name: os.environ[name] for name in ("KDLAB_CACHE",) if name in os.environ} | {"XLA_FLAGS": FAST}
        file.write_text(f"import os\nos.environ.update({environment!r})\n{script}", "utf-8")
        process = context.Process(target=runpy.run_path, args=(str(file),))
        process.start()
        return process

    return launch


@pytest.fixture(scope="session")
def glibc():
    """Linux's C library: others have one heap, and no settings for it."""
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("this system's C library is another")


@pytest.fixture(scope="session")
def count_heaps(glibc):
    """Code after which ``answer`` is how many heaps the threads of a process take for themselves."""
    return """
import ctypes, tempfile, threading
library, together = ctypes.CDLL(None), threading.Barrier(4)
library.fopen.restype = ctypes.c_void_p

def allocate():
    together.wait()
    for size in range(1000, 2000):
        library.malloc(size)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
with tempfile.NamedTemporaryFile("r") as file:
    written = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, written)
    library.fclose(written)
    answer = file.read().count("<heap nr=")
"""


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    """The folder that kdlab keeps things in during this test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KDLAB_CACHE", str(folder))
    return folder


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile):
        outputfile.write(source.read()[: self.server.most_bytes])

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):  # a client that goes away
        pass


@pytest.fixture
def served(tmp_path_factory):
    """A web server: ``.folder`` is what it serves, ``.url`` where, ``.asked`` what was asked for.

    ``.most_bytes`` cuts every answer off after so many.
    """
    folder = tmp_path_factory.mktemp("served")
    server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.folder, server.url = folder, f"http://127.0.0.1:{server.server_port}/"
    server.asked, server.most_bytes = [], None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def file_size_limit(request):
    """A function that makes the kernel refuse to write files of more bytes, until the test has run."""
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    request.node.stash[_UNDO] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Undo the limit before pytest reports the test: what it reports to may be a file."""
    try:
        return (yield)
    finally:
        item.stash.get(_UNDO, lambda: None)()


_UNDO = pytest.StashKey()
