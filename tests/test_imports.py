"""Three floors, and an import only ever points down."""

import ast
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
        "checks",
        "softening",
        "conventions",
        "mistakes",
        "scenarios",
        "evaluation",
        "clinical",
        "segmentation",
        "cache",
        "timing",
        "datasets",
        "features.representations",
        "runs.results",
        "runs.sweep_table",
        "runs.unfinished",
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
        "datasets.image_streams",
        "features",
        "teachers",
        "live",
        "runs",
        "export",
    ),
    "lab": ("lab", "commands"),
}
ORDER = list(FLOORS)

WIDGETS = {"matplotlib", "ipywidgets", "anywidget", "voila", "jupyterlab", "IPython"}
TRAINING = {"tensorflow", "keras", "torch", "jax"}
# Nowhere in a module of that floor, not even inside a function.
FORBIDDEN = {"numpy": WIDGETS | TRAINING, "training": WIDGETS, "lab": set()}

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
                name = kdlab._HOME.get(alias.name, alias.name) if base == "kdlab" else alias.name
                yield f"{base}.{name}"


def _at_import(node):
    """The nodes that run when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _at_import(child)


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


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_on_a_floor_and_imports_only_from_it_or_below(module):
    floor = ORDER.index(floor_of(module))
    tree, package = parse(module)
    above = [name for name in own_modules(imports(tree, module, package)) if ORDER.index(floor_of(name)) > floor]
    assert not above, f"{module} is on the floor {ORDER[floor]!r} and imports from above it: {', '.join(above)}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_library_of_a_higher_floor(module):
    tree, package = parse(module)
    roots = {name.split(".")[0] for name in imports(tree, module, package)}
    wrong = sorted(roots & FORBIDDEN[floor_of(module)])
    assert not wrong, f"{module} is on the floor {floor_of(module)!r} and imports {', '.join(wrong)}"


@pytest.mark.parametrize("module", GROUND)
def test_the_ground_floor_needs_only_numpy_to_be_imported(module):
    tree, package = parse(module)
    roots = {name.split(".")[0] for name in imports(tree, module, package, everywhere=False)}
    wrong = sorted(roots - set(sys.stdlib_module_names) - {"numpy", "kdlab"})
    assert not wrong, f"{module} imports {', '.join(wrong)} at once; inside the function that needs it, it may"


@pytest.mark.parametrize("module", GROUND)
def test_importing_the_ground_floor_loads_neither_tensorflow_nor_matplotlib(module):
    heavy = sorted(WIDGETS | TRAINING | {"sklearn", "scipy"})
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


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
    assert "kdlab.softening" in check("from ..softening import softmax", "kdlab.lab.panel")
    assert check("import numpy\nfrom os import path", "kdlab.softening") == []


def test_an_import_inside_a_function_is_not_one_at_import():
    tree = ast.parse("import numpy\nclass A:\n    import json\n\ndef f():\n    import sklearn")
    assert list(imports(tree, "kdlab.checks", everywhere=False)) == ["numpy", "json"]


def test_a_module_on_no_floor_is_told_where_to_go():
    with pytest.raises(LookupError, match=r"kdlab\.surprise is on no floor: add 'surprise' to FLOORS"):
        floor_of("kdlab.surprise")
    assert [floor_of(m) for m in ("kdlab", "kdlab.models", "kdlab.lab.panel")] == ORDER
