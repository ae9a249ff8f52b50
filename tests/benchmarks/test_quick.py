"""The benchmarks still run: each in a subprocess, on little, its table printed. What they measure here means nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

# To join, a benchmark takes arguments with which it needs no other checkout, no download and less than a minute.
QUICK = {
    "distiller": ["--images", "640", "--rounds", "1"],
    "live": ["--repeats", "2", "--rival-seeds", "1"],
    "pages": ["--quick", "--port", "8953"],
}


@pytest.mark.parametrize("name", QUICK)
def test_it_runs_and_prints_its_table(name):
    if name == "pages":
        sys.path.insert(0, str(FOLDER.parent / "browser"))
        try:
            from conftest import find_chromium
        finally:
            del sys.path[0]
        if find_chromium() is None and not os.environ.get("KDLAB_REQUIRE_BROWSER"):
            pytest.skip("no Chromium found")
    command = [sys.executable, str(FOLDER / f"{name}.py"), *QUICK[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if re.search(r"\d", line)]
    assert len(rows) >= 2, done.stdout
    assert "nan" not in done.stdout
