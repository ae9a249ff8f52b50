"""Four floors, and an import only ever points down."""

import ast
import atexit
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import kdlab

PACKAGE = Path(kdlab.__file__).parent

# By floor, the lowest first: modules, and folders for what is in them and not named for itself.
FLOORS = {
    "numpy": (
        "kdlab",
        "answers",
        "checks",
        "softening",
        "conventions",
        "mistakes",
        "scenarios",
        "evaluation",
        "clinical",
        "segmentation",
        "cache",
        "memory",
        "timing",
        "quiet",
        "lazy",
        "datasets",
        "features.representations",
        "runs.cluster",
        "runs.results",
        "runs.unfinished",
        "check",
        "export",  # which loads the others on first use
        "export.boards",
        "export.quantisation",
    ),
    "training": (
        "backend",
        "models",
        "model_files",
        "foreign_models",
        "losses",
        "distiller",
        "distillation",
        "transfer_set",
        "teacher_targets",
        "training_checks",
        "execution",
        "two_headed",
        "unet",
        "grad_cam",
        "features",
        "teachers",
        "live",
        "runs",
        "export.contract",
        "export.convert",
        "export.converter",
        "export.measure",
        "check.training",
    ),
    "figures": ("figures",),
    "lab": ("lab", "commands"),
}
ORDER = list(FLOORS)

PICTURES, PYPLOT = {"matplotlib"}, {"matplotlib.pyplot"}  # pyplot keeps every figure, and is the process's
WIDGETS = {"ipywidgets", "anywidget", "traitlets", "voila", "jupyterlab", "IPython"}
TRAINING = {"tensorflow", "keras", "torch", "jax"}
# Nowhere in a module of that floor, not even inside a function.
FORBIDDEN = {
    "numpy": PICTURES | WIDGETS | TRAINING,
    "training": PICTURES | WIDGETS,
    "figures": PYPLOT | WIDGETS | TRAINING,
    "lab": PYPLOT,
}

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "notebooks" not in path.relative_to(PACKAGE).parts
)


def floor_of(module):
    """The floor of ``kdlab.x.y``, or an error that says what to do about a module that has none."""
    name = module.removeprefix("kdlab.")
    for home in (name, name.split(".")[0]):
        for floor, names in FLOORS.items():
            if home in names:
                return floor
    raise LookupError(
        f"{module} is on no floor: add {name!r} to FLOORS in tests/test_imports.py, on the lowest floor "
        f"whose libraries it needs ({', '.join(ORDER)}, from the ground up)"
    )


GROUND = [module for module in MODULES if floor_of(module) == "numpy"]


def imports(tree, module, package=False, everywhere=True):
    """The absolute names that a source imports; a public name of kdlab counts as the module it lives in."""
    home = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(tree) if everywhere else _at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            if base != "kdlab":
                yield base
            for alias in node.names:
                files = [file for file, names in kdlab._FILES.items() if alias.name in names.split()]
                yield f"{base}.{files[0] if files and base == 'kdlab' else alias.name}"


def _at_import(node):
    """The nodes that run when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _at_import(child)


HEAVY = sorted({"tensorflow", "keras", "matplotlib", "ipywidgets", "anywidget"})

# Reads a program a line, as JSON, and answers what it prints. Each runs in a process of its own, forked where some
# libraries have been imported, which takes most of a new interpreter's time.
INTERPRETER = """
import io, json, os, sys, traceback
from contextlib import redirect_stdout
for line in sys.stdin:
    if not os.fork():
        with redirect_stdout(io.StringIO()) as printed:
            try:
                exec(json.loads(line), {})
            except BaseException:
                traceback.print_exc(file=printed)
        os.write(1, (json.dumps(printed.getvalue()) + "\\n").encode())
        os._exit(0)
    os.wait()
"""


@cache
def interpreter(libraries):
    program = f"import {libraries}\n{INTERPRETER}"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


def run(program, libraries="numpy"):
    """What a program prints in a new interpreter that has loaded these libraries alone."""
    process = interpreter(libraries)
    print(json.dumps(program), file=process.stdin, flush=True)
    return json.loads(process.stdout.readline()).strip()


def loads(module, libraries, loaded="numpy"):
    """Which of these libraries importing a module loads, in a new interpreter."""
    return run(f"import sys, {module}; print([name for name in {sorted(libraries)} if name in sys.modules])", loaded)


def test_every_program_has_an_interpreter_of_its_own():
    assert run("import sys, json; import kdlab, tabnanny; print('tabnanny' in sys.modules)") == "True"
    assert run("import sys; print([n for n in sys.modules if n in ('kdlab', 'tabnanny')])") == "[]"
    assert run("print(1); 1 / 0").endswith("ZeroDivisionError: division by zero")


@cache
def parse(module):
    path = PACKAGE.parent.joinpath(*module.split("."))
    package = path.is_dir()
    source = (path / "__init__.py" if package else path.with_suffix(".py")).read_text("utf-8")
    return ast.parse(source), package


def own_modules(names):
    """The modules of this package among imported names: kdlab.softening, also for kdlab.softening.softmax."""
    found = {".".join(name.split(".")[:k]) for name in names for k in range(1, name.count(".") + 2)}
    return sorted(found & set(MODULES) - {"kdlab"})


def forbidden(names, floor):
    """The libraries among imported names that no module of that floor may import."""
    return sorted({library for name in names for library in FORBIDDEN[floor] if f"{name}.".startswith(f"{library}.")})


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_on_a_floor_and_imports_only_from_it_or_below(module):
    floor = ORDER.index(floor_of(module))
    tree, package = parse(module)
    above = [name for name in own_modules(imports(tree, module, package)) if ORDER.index(floor_of(name)) > floor]
    assert not above, f"{module} is on the floor {ORDER[floor]!r} and imports from above it: {', '.join(above)}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_library_of_a_higher_floor(module):
    tree, package = parse(module)
    wrong = forbidden(imports(tree, module, package), floor_of(module))
    assert not wrong, f"{module} is on the floor {floor_of(module)!r} and imports {', '.join(wrong)}"


@pytest.mark.parametrize("module", GROUND)
def test_the_ground_floor_needs_only_numpy_to_be_imported(module):
    tree, package = parse(module)
    roots = {name.split(".")[0] for name in imports(tree, module, package, everywhere=False)}
    wrong = sorted(roots - set(sys.stdlib_module_names) - {"numpy", "kdlab"})
    assert not wrong, f"{module} imports {', '.join(wrong)} at once; inside the function that needs it, it may"


@pytest.mark.parametrize("module", GROUND)
def test_importing_the_ground_floor_loads_neither_tensorflow_nor_matplotlib(module):
    assert loads(module, WIDGETS | TRAINING | {"sklearn", "scipy"}) == "[]"


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) == "figures"])
def test_pictures_are_drawn_without_what_trains_and_without_a_widget(module):
    tree, package = parse(module)
    names = own_modules(imports(tree, module, package))
    # A folder that is only on the way to a module in it does not count: what it loads is seen below.
    others = {name: floor_of(name) for name in names if not any(n.startswith(f"{name}.") for n in names)}
    assert set(others.values()) <= {"numpy", "figures"}, others
    assert loads(module, WIDGETS | TRAINING | PYPLOT, "numpy, matplotlib.figure") == "[]"


# --- what `import kdlab` gives


@pytest.mark.parametrize("name", kdlab._MODULES.split())
def test_a_submodule_is_there_after_import_kdlab_and_loaded_when_asked_for(name):
    asked = (
        f"import sys, kdlab; print('kdlab.{name}' in sys.modules, kdlab.{name}.__name__, kdlab.{name}.__doc__ != '')"
    )
    assert run(asked, "numpy, keras") == f"False kdlab.{name} True"


def test_the_server_is_loaded_without_a_parser_that_takes_seconds_and_notebooks_are_validated_all_the_same():
    program = """
import sys
from kdlab.commands.command_line import main
try:
    main(["--no-such-option"])
except SystemExit:
    import kdlab.lab.serving, nbformat
try:
    nbformat.validate({"cells": [], "metadata": 3, "nbformat": 4, "nbformat_minor": 5})
except nbformat.ValidationError:
    print("lark" in sys.modules)
"""
    assert run(program) == "False"


def test_import_kdlab_and_looking_at_what_it_has_load_nothing_heavy():
    program = f"import sys, kdlab; dir(kdlab); print([name for name in {HEAVY} if name in sys.modules])"
    assert run(program) == "[]"


@pytest.mark.parametrize(
    ("expression", "heavy"),
    [
        ("kdlab.softening.entropy([0.5, 0.5])", []),
        ("kdlab.conventions.to_ours('two-headed', 10.0, lambda_=0.5)", []),
        ("kdlab.evaluation.wilson_interval(9, 10)", []),
    ],
)
def test_the_numpy_submodules_work_without_the_rest(expression, heavy):
    program = f"import sys, kdlab; {expression}; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(program) == str(heavy)


ROOT = PACKAGE.parent


@pytest.mark.parametrize("file", [ROOT / "README.md", *sorted(ROOT.glob("notebooks/*.ipynb"))], ids=lambda f: f.name)
def test_every_name_that_a_text_calls_ours_is_there_after_import_kdlab(file):
    text = file.read_text("utf-8")
    named = set(re.findall(r"(?<!-m )(?<!from )(?<!import )\bkdlab\.((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)", text))
    # In an interpreter of its own: what other tests have imported is there in this one.
    program = f"import kdlab, operator; [operator.attrgetter(name)(kdlab) for name in {sorted(named)}]"
    assert run(program, "numpy, keras") == ""


@pytest.mark.parametrize("name", ["datasetz", "soften", "_private"])
def test_a_name_that_is_not_ours_is_refused(name):
    with pytest.raises(AttributeError, match=f"module 'kdlab' has no attribute '{name}'"):
        getattr(kdlab, name)


# --- the net itself catches what it is for


def check(source, module):
    return own_modules(imports(ast.parse(source), module))


@pytest.mark.parametrize(
    "source",
    [
        "import kdlab.backend",
        "import kdlab.backend as b",
        "from kdlab.backend import keras",
        "from kdlab import backend",
        "from .backend import tf",
        "from . import backend",
        "def later():\n    from .backend import tf",
        "if True:\n    from . import backend",
    ],
)
def test_every_way_to_write_an_import_is_seen(source):
    assert check(source, "kdlab.softening") == ["kdlab.backend"]


def test_public_names_and_parent_folders_are_followed_home():
    assert check("from kdlab import softmax", "kdlab.models") == ["kdlab.softening"]
    assert "kdlab.softening" in check("from ..softening import softmax", "kdlab.lab.controls")
    assert check("import numpy\nfrom os import path", "kdlab.softening") == []


def test_an_import_inside_a_function_is_not_one_at_import():
    tree = ast.parse("import numpy\nclass A:\n    import json\n\ndef f():\n    import sklearn")
    assert list(imports(tree, "kdlab.checks", everywhere=False)) == ["numpy", "json"]


def test_a_module_on_no_floor_is_told_where_to_go():
    with pytest.raises(LookupError, match=r"kdlab\.surprise is on no floor: add 'surprise' to FLOORS"):
        floor_of("kdlab.surprise")
    assert [floor_of(m) for m in ("kdlab", "kdlab.models", "kdlab.figures", "kdlab.lab.page")] == ORDER


@pytest.mark.parametrize(
    ("source", "floor", "found"),
    [
        ("import matplotlib.pyplot as plt", "figures", ["matplotlib.pyplot"]),
        ("from matplotlib import pyplot", "lab", ["matplotlib.pyplot"]),
        ("from matplotlib.figure import Figure", "figures", []),
        ("from matplotlib.figure import Figure", "training", ["matplotlib"]),
        ("import tensorflowjs, matplotlib_inline", "figures", []),
        ("def f():\n    import ipywidgets", "figures", ["ipywidgets"]),
    ],
)
def test_libraries_of_higher_floors_are_seen(source, floor, found):
    assert forbidden(imports(ast.parse(source), "kdlab.figures"), floor) == found
