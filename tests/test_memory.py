"""Free memory is what the machine has left, or less where a control group has a limit; threads share a heap."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from kdlab.memory import free_memory, return_read_files

GB = 10**9
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * GB))


def free(tmp_path, own, groups, names):
    """Free memory of a process whose groups are ``own``; ``groups`` are {folder: (limit, used, of it copies of files)}."""
    for folder, values in groups.items():
        folder = tmp_path / "groups" / folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, values, strict=False):
            (folder / name).write_text(f"{value}\n")
        (folder / "memory.stat").write_text(f"file 5\n{names[2]} {values[2]}\nanon 7\n")
    (tmp_path / "own").write_text(own)
    return free_memory(tmp_path / "groups", tmp_path / "own")


@pytest.mark.parametrize(
    ("own", "groups", "names", "left"),
    [
        pytest.param("0::/\n", {".": (4 * GB, GB, 0)}, VERSION_2, 3 * GB, id="container"),
        pytest.param("0::/\n", {".": (4 * GB, 3 * GB, 2 * GB)}, VERSION_2, 3 * GB, id="copies-of-files-make-room"),
        pytest.param("0::/\n", {".": ("max", GB, 0)}, VERSION_2, 64 * GB, id="no-limit"),
        pytest.param("0::/\n", {".": (GB, 2 * GB, 0)}, VERSION_2, 0, id="full"),
        pytest.param(
            "0::/user.slice/kd.service\n",
            {"user.slice": (6 * GB, GB, 0), "user.slice/kd.service": ("max", GB, 0)},
            VERSION_2,
            5 * GB,
            id="limit-of-a-group-above",
        ),
        pytest.param(
            "5:cpu:/\n4:memory:/docker/abc\n0::/docker/abc\n",
            {"memory": (2 * GB, GB, 0)},
            VERSION_1,
            GB,
            id="version-1-seen-from-inside",
        ),
        pytest.param(
            "4:cpu,memory:/slurm/job_7\n",
            {"memory": (2**63 - 4096, GB, 0), "memory/slurm/job_7": (8 * GB, 3 * GB, GB)},
            VERSION_1,
            6 * GB,
            id="version-1-batch-job",
        ),
    ],
)
def test_what_a_control_group_leaves(tmp_path, own, groups, names, left):
    assert free(tmp_path, own, groups, names) == left


def test_without_control_groups_it_is_the_machine(tmp_path):
    assert free_memory(tmp_path, tmp_path / "none") == 64 * GB


@pytest.mark.parametrize(("first", "one"), [("share_one_heap()", True), ("pass", False)])
def test_threads_share_one_heap_where_it_is_asked_for(count_heaps, first, one):
    code = f"from kdlab.memory import share_one_heap\n{first}\n{count_heaps}\nprint(answer)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (int(done.stdout) == 1) == one


def test_free_memory_is_given_back(glibc):
    """Of a heap with something left at its end: Linux would keep all below it."""
    code = """
import ctypes, psutil
from kdlab.memory import return_free_memory
library, seen = ctypes.CDLL(None), []
library.malloc.restype = ctypes.c_void_p
taken = [ctypes.c_void_p(library.malloc(1000)) for _ in range(50_000)]
for one in taken:
    ctypes.memset(one, 1, 1000)
for one in taken[:-1]:
    library.free(one)
for function in (int, return_free_memory):
    function()
    seen.append(psutil.Process().memory_info().rss)
print(seen[0] - seen[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 40e6


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's call")
@pytest.mark.parametrize("changed", [False, True], ids=["read", "changed"])
def test_pages_of_files_are_given_back_unless_they_were_changed(tmp_path, changed):
    """What the loader changed in a library, and then made read-only, is nowhere else."""
    code = f"""
import ctypes, mmap, sys
import psutil
from kdlab.memory import return_read_files
size = 30 * 2**20
with open(sys.argv[1], "r+b") as file:
    pages = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(pages)))
assert sum(pages[::mmap.PAGESIZE]) == size / mmap.PAGESIZE
if {changed}:
    pages[5] = 2
assert ctypes.CDLL(None).mprotect(start, ctypes.c_size_t(size), mmap.PROT_READ) == 0
before = psutil.Process().memory_info().rss
return_read_files()
print(before - psutil.Process().memory_info().rss, pages[5], sum(pages[::mmap.PAGESIZE]) * mmap.PAGESIZE == size)
"""
    file = tmp_path / "file"
    file.write_bytes(b"\1" * 30 * 2**20)
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    given_back, byte, same = done.stdout.split()
    assert (int(given_back) > 25e6) == (not changed)
    assert (byte, same) == (str(1 + changed), "True")


@pytest.mark.parametrize("error", [psutil.AccessDenied, FileNotFoundError, AttributeError])
def test_where_what_is_mapped_cannot_be_seen_nothing_is_given_back(monkeypatch, error):
    def memory_maps(process, grouped):
        raise error()

    monkeypatch.setattr(psutil.Process, "memory_maps", memory_maps)
    return_read_files()
