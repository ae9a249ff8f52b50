"""The package without its extras, as beside a running Jupyter: what it needs is in pyproject's list, and the rest is said."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Imports everything that is not the server's own, and all that the notebooks import, where the extras are not to be found.
PROGRAM = """
import ast, importlib, json, pkgutil, sys
absent = set(sys.argv[1].split())

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
import kdlab
from kdlab.commands.command_line import main
from kdlab.lab.pages import notebooks_folder

for module in pkgutil.walk_packages(kdlab.__path__, "kdlab."):
    if module.name not in ("kdlab.lab.serving", "kdlab.lab.page_files", "kdlab.lab.kernels", "kdlab.lab.page_kernel",
                           "kdlab.lab.grading", "kdlab.datasets.make_nuclei"):
        importlib.import_module(module.name)
for file in sorted(notebooks_folder().rglob("*.ipynb")):
    for cell in json.loads(file.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            found = [n for n in ast.parse("".join(cell["source"])).body if isinstance(n, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(found, []), file.name, "exec"))
from kdlab import figures, lab
panel = lab.interact(lambda T: figures.bars({"T": kdlab.softmax([2.0, 1.0], T)}), T=lab.temperature(1.0))
assert "T: 0 0.731, 1 0.269" in panel.result.get_label(), panel.result.get_label()
print([main(arguments) for arguments in ([], ["lab"], ["course", "new"], ["handout", "new"])])
"""


def of_extras(*extras):
    """The top-level modules of the packages of some extras that the base does not have."""
    names = {Requirement(r).name for extra in extras for r in PROJECT["optional-dependencies"][extra]}
    return {{"pyzmq": "zmq"}.get(name, name.replace("-", "_")) for name in names}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    absent = " ".join(of_extras("server", "course", "cluster"))
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, absent], capture_output=True, text=True, timeout=300, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done


def test_without_the_extras_everything_but_the_server_works_and_the_commands_say_what_to_install(done):
    assert done.stdout.splitlines()[-1] == "[2, 2, 2, 2]"
    said = [line for line in done.stderr.splitlines() if line.startswith("kdlab: ")]
    extras = ["server", "server", "course", "course"]
    assert [line.rpartition(": ")[2] for line in said] == [f"pip install 'kdlab[{extra}]'" for extra in extras]
    assert said[1].startswith("kdlab: kdlab lab needs jupyterlab, which is not installed: ")


def test_no_package_of_a_server_is_in_the_base():
    base = {Requirement(requirement).name for requirement in PROJECT["dependencies"]}
    assert not base & {
        "voila",
        "jupyterlab",
        "jupyter-server",
        "jupyter-client",
        "ipykernel",
        "tornado",
        "pyzmq",
        "notebook",
    }


@pytest.mark.parametrize("file", ["README.md", "environment.yml", "binder/postBuild"])
def test_who_serves_pages_installs_the_server(file):
    assert "-e .[server]" in (ROOT / file).read_text().replace('"', "")


def test_the_tests_have_all_extras():
    [extras] = [
        Requirement(r).extras for r in PROJECT["optional-dependencies"]["test"] if Requirement(r).name == "kdlab"
    ]
    assert extras == set(PROJECT["optional-dependencies"]) - {"test"}
