"""Kernels that are forked, from what, and the compiled programs that they share."""

import asyncio
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.session import Session

from kdlab.lab import kernels, program_cache, serving
from kdlab.lab.kernels import FORKED, KernelSpecs
from kdlab.lab.program_cache import ProgramCache

forked = pytest.mark.skipif(not FORKED, reason="kernels are not forked here")


async def _answers(code, count, **options):
    said = []
    for _ in range(count):
        manager = AsyncKernelManager(kernel_spec_manager=KernelSpecs())
        await manager.start_kernel(env=dict(os.environ), stderr=subprocess.DEVNULL, **options)
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            reply = await client.execute(code, user_expressions={"answer": "answer"}, reply=True, timeout=60)
            assert reply["content"]["status"] == "ok", reply["content"]
            said.append(eval(reply["content"]["user_expressions"]["answer"]["data"]["text/plain"]))
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
        assert not await manager.is_alive()
    return said


def answers(code, count=1, **options):
    """What ``answer`` is after ``code`` in each of so many new kernels."""
    with ThreadPoolExecutor(1) as thread:  # as run_async
        return thread.submit(asyncio.run, _answers(code, count, **options)).result()


def test_a_kernel_trains_in_its_folder_with_its_arguments(tmp_path):
    code = """
import os, sys, keras, numpy as np
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
loss = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0).history["loss"][0]
answer = [os.getcwd(), sys.executable, np.isfinite(loss).item(), sys.argv[0].split("/")[-1].removesuffix(".py")]
"""
    assert answers(code, cwd=str(tmp_path)) == [[str(tmp_path), sys.executable, True, "ipykernel_launcher"]]


@pytest.mark.parametrize("safe", ["", "1"])
def test_modules_of_a_notebook_s_folder_can_be_imported_but_none_hides_python_s_own(tmp_path, monkeypatch, safe):
    monkeypatch.setenv("PYTHONSAFEPATH", safe)
    for name in ("reader_s_own.py", "calendar.py"):
        (tmp_path / name).write_text("found = 42")
    code = """
import calendar, importlib.util
answer = [hasattr(calendar, "found"), importlib.util.find_spec("reader_s_own") is not None]
"""
    assert answers(code, cwd=str(tmp_path)) == [[False, not safe]]


def test_a_cell_can_be_stopped(run_async):
    async def stopped():
        manager = AsyncKernelManager(kernel_spec_manager=KernelSpecs())
        await manager.start_kernel(env=dict(os.environ), stderr=subprocess.DEVNULL)
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            asked = client.execute("import time; time.sleep(60)")
            await asyncio.sleep(0.5)
            await manager.interrupt_kernel()
            while (reply := await client.get_shell_msg(timeout=30))["parent_header"].get("msg_id") != asked:
                pass
            return reply["content"]["ename"]
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    assert run_async(stopped()) == "KeyboardInterrupt"


@forked
def test_a_kernel_s_threads_share_one_heap(count_heaps):
    assert answers(count_heaps) == [1]


@forked
def test_linear_algebra_keeps_to_one_thread_until_somebody_asks_for_more():
    code = """
import threadpoolctl, numpy, scipy.linalg

def threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]

answer = [threads()]
with threadpoolctl.threadpool_limits(2, "blas"):
    answer.append(threads())
"""
    [[alone, more]] = answers(code)
    assert set(alone) == {1}
    assert set(more) == {2}


def test_an_answer_that_comes_while_a_message_is_sent_is_heard(run_async):
    """Sending past what waits takes the one sign that ZeroMQ gives of what came meanwhile."""

    async def ask():
        with zmq.asyncio.Context() as context:
            server, client = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
            client.connect(f"tcp://127.0.0.1:{server.bind_to_random_port('tcp://127.0.0.1')}")
            session = Session()
            channel = kernels.Channel(client, session)
            waiting = asyncio.ensure_future(channel.get_msg())
            await asyncio.sleep(0.1)
            channel.send(session.msg("question"))
            who, *_ = await server.recv_multipart()
            session.send(server, session.msg("answer"), ident=who)
            time.sleep(0.3)  # the answer is there, and nobody has looked
            channel.send(session.msg("another"))
            answer = await asyncio.wait_for(waiting, 10)
            with pytest.raises(queue.Empty):
                await channel.get_msg(timeout=0.6)
            server.close(0)
            client.close(0)
            return answer["msg_type"]

    assert run_async(ask()) == "answer"


@forked
def test_what_runs_a_notebook_s_cells_is_silent_in_the_terminal(monkeypatch, run_async):
    asked = []

    def fork(arguments, environment, folder, quiet):
        asked.append(quiet)
        raise OSError("no more processes")

    monkeypatch.setattr(kernels, "_fork", fork)
    with pytest.raises(OSError, match="no more processes"):
        run_async(kernels.KernelManager().start_kernel())
    assert asked == [True]


@forked
def test_a_kernel_s_temporary_files_go_with_it():
    code = """
import subprocess, sys, tempfile
child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
answer = [tempfile.mkstemp()[1], subprocess.check_output(child, text=True).strip()]
"""
    folders = {os.path.dirname(path) for paths in answers(code, 2) for path in paths}
    assert len(folders) == 2
    assert tempfile.gettempdir() not in folders
    assert not any(map(os.path.exists, folders))


def test_what_looks_for_a_kernel_when_imported_finds_it():
    code = """
import matplotlib.pyplot as plt
from ipywidgets.widgets.widget import comm
targets = comm.get_comm_manager().targets
answer = [sorted(targets), plt.get_backend(), "flush_figures" in str(get_ipython().events.callbacks["post_execute"])]
"""
    ((targets, backend, shown),) = answers("import matplotlib.pyplot as plt; plt.plot([1])\n" + code)
    assert {"jupyter.widget", "jupyter.widget.control"} <= set(targets)
    assert "inline" in backend
    assert shown


def test_no_two_kernels_draw_the_same_random_numbers():
    code = "import random, numpy, keras; answer = [random.random(), numpy.random.rand(), int(keras.random.randint((), 0, 10**9))]"
    for first, second in zip(*answers(code, 2), strict=True):
        assert first != second


async def _published(software, *cells):
    """What a kernel of such a server publishes of each cell: what it prints, what it opens by its model or target, and updates."""
    manager, seen = AsyncKernelManager(kernel_spec_manager=KernelSpecs()), []
    await manager.start_kernel(env={**os.environ, "SERVER_SOFTWARE": software}, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()

    def note(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            seen[-1].append(content["text"])
        elif message["msg_type"] == "comm_open":
            seen[-1].append(content["data"].get("state", {}).get("_model_name", content["target_name"]))
        elif message["msg_type"] == "comm_msg":
            seen[-1].append(content["data"].get("state", content["data"]))

    try:
        await client.wait_for_ready(timeout=60)
        for cell in cells:
            seen.append([])
            if cell is PAGE_COMES:
                opened = {"comm_id": "page", "target_name": "jupyter.widget.control", "data": {}}
                for kind, content in (
                    ("comm_open", opened),
                    ("comm_msg", {"comm_id": "page", "data": {"method": "request_states"}}),
                ):
                    message = client.session.msg(kind, content, metadata={"version": "1.0.0"})
                    client.shell_channel.send(message)
                while "states" not in (message := await client.get_iopub_msg(timeout=60))["content"].get("data", {}):
                    pass
                states = message["content"]["data"]["states"].values()
                seen[-1] += [state["state"]["_model_name"] for state in states]
            else:
                await client.execute_interactive(cell, output_hook=note, timeout=60)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return seen


PAGE_COMES = "as the page does, ask for all widgets"


@forked
@pytest.mark.parametrize("software", ["voila/0.5", "jupyter"])
def test_widgets_of_a_page_that_is_not_there_yet_are_silent_but_what_a_cell_prints_is_not(software, run_async):
    make = """
import sys, comm, ipywidgets
print("before")
slider = ipywidgets.IntSlider()
slider.value = 7
print("error", file=sys.stderr)
print("after")
"""
    capture = "output = ipywidgets.Output()\nother = comm.create_comm(target_name='mine', data={})"
    later = "slider.value = 8; late = ipywidgets.IntText(layout=slider.layout, style=slider.style)"
    first, second, states, last = run_async(_published(software, make, capture, PAGE_COMES, later))
    of_widgets = ["LayoutModel", "SliderStyleModel", "IntSliderModel", {"value": 7}]
    of_widgets = [] if software.startswith("voila") else of_widgets
    assert [said for said in first if "Model" in said or "value" in said] == of_widgets
    assert sorted("".join(said for said in first if said not in of_widgets).split()) == ["after", "before", "error"]
    assert [name for name in second if name != "LayoutModel"] == ["OutputModel", "mine"]
    assert sorted(states) == ["IntSliderModel", "LayoutModel", "LayoutModel", "OutputModel", "SliderStyleModel"]
    assert last == [{"value": 8}, "IntTextModel"]


@forked
@pytest.mark.parametrize("software", ["voila/0.5", "jupyter"])
def test_a_page_s_kernel_touches_none_of_the_modules_that_it_shares(software, run_async):
    noted = "shell = get_ipython()\nprint(len(shell._sys_modules_keys), len(shell.kernel._kernel_modules))"
    said = run_async(_published(software, noted))[0]
    assert [int(count) > 1000 for count in "".join(said).split()] == [software == "jupyter"] * 2


@forked
@pytest.mark.parametrize("after", [0.3, 1.5])
def test_ctrl_c_while_what_kernels_are_forked_from_is_imported_is_the_caller_s_alone(tmp_path, after):
    code = """
import time
from kdlab.lab.kernels import start_forkserver, end_kernels
if __name__ == "__main__":
    start_forkserver()
    print("begun", flush=True)
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        end_kernels()
        print("ended", flush=True)
"""
    (tmp_path / "script.py").write_text(code)
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that all of it can be sent the signal, as by a terminal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        begun = process.stdout.readline()
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        assert begun + process.communicate(timeout=60)[0] == "begun\nended\n"


@forked
def test_while_it_runs_the_environment_that_others_copy_is_left_alone(monkeypatch):
    kernels.start_forkserver()
    monkeypatch.setattr(kernels, "_environment", lambda **variables: pytest.fail("touched"))
    kernels.start_forkserver()


@forked
def test_nothing_is_computed_before_the_fork(launch):
    # The number of threads can only be set before TensorFlow's first operation.
    process = launch("""
import sys
assert {"tensorflow", "keras", "ipywidgets", "matplotlib.figure", "kdlab.live.trainer"} <= set(sys.modules)
assert not {"voila", "kdlab.lab.serving"} & set(sys.modules)
import tensorflow
tensorflow.config.threading.set_inter_op_parallelism_threads(2)
""")
    process.join(60)
    assert process.exitcode == 0
    # A module's own thread would be missing in every kernel.
    assert psutil.Process(multiprocessing.forkserver._forkserver._forkserver_pid).num_threads() == 1


@pytest.mark.parametrize(
    ("free", "forked", "places"), [(4e9, True, 16), (24e9, True, 116), (4e9, False, 5), (1e8, True, 1)]
)
def test_there_is_room_for_as_many_as_memory_holds(monkeypatch, free, forked, places):
    monkeypatch.setattr(serving, "free_memory", lambda: free)
    monkeypatch.setattr(serving, "FORKED", forked)
    assert serving.room() == places


@pytest.mark.parametrize(("there", "free", "starts"), [(0, 0, True), (1, 0, False), (1, 1e9, True), (5, 1e9, False)])
def test_another_kernel_starts_where_a_whole_page_finds_memory_and_a_place(monkeypatch, run_async, there, free, starts):
    kernels = serving.Kernels(limit=5, spare=serving.WHOLE_PAGE)
    monkeypatch.setattr(serving, "free_memory", lambda: free)
    monkeypatch.setattr(serving.Kernels, "parent", SimpleNamespace(programs=SimpleNamespace(flags=lambda _: "")))
    monkeypatch.setattr(serving.AsyncMappingKernelManager, "start_kernel", started)
    monkeypatch.setattr(serving.Kernels, "__len__", lambda self: there)
    if starts:
        assert run_async(kernels.start_kernel()) == "started"
    else:
        with pytest.raises(serving.FullHouseError):
            run_async(kernels.start_kernel())


async def started(self, **options):
    return "started"


@pytest.fixture
def program(cache):
    """A function that writes a program as a kernel of ``.programs`` would, and returns its path."""
    programs = ProgramCache()

    def write(name, content=b"program"):
        path = programs.folder / f"xla_compile_cache__{name}__XLA_CPU_JIT.pb"
        path.write_bytes(content)
        return path

    write.programs = programs
    return write


def test_a_programs_file_is_kept_for_the_next_server(program):
    path = program("a")
    ProgramCache().tidy()
    assert not path.exists()  # its writer may have died over it
    path = program("b")
    program.programs.tidy()
    ProgramCache()
    assert path.read_bytes() == b"program"


@pytest.mark.parametrize("damage", [b"", b"progr", b"Program", os.urandom(4000)])
@pytest.mark.parametrize("running", [True, False])
def test_a_damaged_file_goes_before_a_kernel_reads_it(program, damage, running):
    path, other = program("a"), program("b")
    program.programs.tidy()
    path.write_bytes(damage)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 5))
    if running:
        program.programs.tidy()
    else:
        ProgramCache()
    assert not path.exists()
    assert other.exists()


def test_what_is_no_file_of_ours_keeps_no_other_from_being_looked_at(program):
    kept, damaged, *others = map(program, "abcdef")
    program.programs.tidy()
    damaged.write_bytes(b"x")
    others[0].with_suffix(".sha256").write_bytes(b"\xff\xfe")
    (kept.parent / "folder.pb").mkdir()
    (kept.parent / "gone.pb").symlink_to(kept.parent / "nowhere")
    (kept.parent / "folder.sha256").mkdir()
    ProgramCache()
    assert kept.exists()
    assert not damaged.exists()
    assert not others[0].exists()
    assert all(path.exists() for path in others[1:])


def test_the_oldest_go_beyond_the_limit_those_of_other_machines_too(program, monkeypatch):
    monkeypatch.setattr(program_cache, "LIMIT", 2500)
    paths = [program(name, bytes(1000)) for name in "abc"]
    elsewhere = paths[0].parent.parent / "another"
    elsewhere.mkdir()
    paths[0] = paths[0].rename(elsewhere / paths[0].name)
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (10**9 - age, 10**9 - age))
    program.programs.tidy()
    assert [path.exists() for path in paths] == [False, True, True]


COMPILE = """
import numpy as np, tensorflow as tf
try:
    answer = tf.function(lambda x: 2 * x + 1, jit_compile=True)(np.ones(8, np.float32)).numpy().tolist() == [3] * 8
except Exception as error:
    answer = False
"""


@forked
def test_kernels_share_their_programs_by_the_folder_in_which_another_server_leaves_them(cache, monkeypatch):
    ours, theirs = ProgramCache(), ProgramCache()
    monkeypatch.setenv("TF_XLA_FLAGS", ours.flags({}) + " --tf_xla_persistent_cache_read_only=true")
    assert answers(COMPILE) == [True]
    assert [*ours.folder.glob("*.pb")] == []  # as on a disk that is almost full
    monkeypatch.setenv("TF_XLA_FLAGS", ours.flags({}))
    assert answers(COMPILE) == [True]
    programs = [*ours.folder.glob("*.pb")]
    assert programs
    for each in (ours, theirs, ours):
        each.tidy()
    for program in programs:
        program.write_bytes(b"damaged")
    assert answers(COMPILE) == [False]  # it reads them
    ProgramCache()  # another server starts
    assert answers(COMPILE) == [True]
    assert all(program.stat().st_size > 100 for program in programs)


def test_another_version_another_processor_and_other_flags_have_folders_of_their_own(cache, monkeypatch):
    folders = [ProgramCache().folder]
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=1")  # whose slow programs would be everybody's
    folders.append(ProgramCache().folder)
    monkeypatch.setattr(program_cache, "version", lambda name: "9.9.9")
    folders.append(ProgramCache().folder)
    monkeypatch.setattr(program_cache.Path, "read_text", lambda path: "model name: another\nflags: none\n\n")
    folders.append(ProgramCache().folder)
    assert len(set(folders)) == 4


@pytest.mark.parametrize(("free", "read_only"), [(10**12, False), (10**6, True), (0, True)])
def test_kernels_only_read_where_the_disk_is_almost_full(program, monkeypatch, free, read_only):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(program_cache.shutil, "disk_usage", lambda folder: usage(free))
    assert ("read_only" in ProgramCache().flags({})) == read_only


def test_without_a_folder_for_them_kernels_compile_for_themselves(tmp_path, monkeypatch):
    for blocked in ("file", "file/below"):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / blocked))
        programs = ProgramCache()
        assert programs.flags({}) == ""
        programs.tidy()
