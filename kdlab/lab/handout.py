"""Notebooks executed from outside, and ``kdlab handout``: chapters as pages that need neither kernel nor network.

``compute`` and ``freeze`` run in a notebook's kernel, after its last cell.
"""

import ast
import hashlib
import os
import re
import subprocess
import tarfile
from html import unescape
from pathlib import Path

import ipywidgets
from ipywidgets.widgets.widget import _instances
from ipywidgets.widgets.widget_link import Link

from ..cache import ELSEWHERE, cache_folder, explained, new_file
from .interaction import Panel, Progress
from .pages import CHAPTERS, HOME, notebooks_folder
from .widgets import Bars, plain

WIDTH, RATIO = 800, 1.5  # CSS pixels of a figure, and device pixels of one
SCRIPT = "static/widgets.js"
NAVIGATES = re.compile(r'class="kd-(prev|home|next)"')
# ipywidgets' own renderer without a kernel, and the module loader that it wants: npm's name, archive, SHA-256, file in it.
PARTS = (
    (
        "requirejs@2.3.7",
        "requirejs-2.3.7.tgz",
        "31f3330c978fb28684622fe71165dc946432cf0210b2ea8a1ca0233e70f2737d",
        "package/require.js",
    ),
    (
        "@jupyter-widgets/html-manager@1.0.15",
        "jupyter-widgets-html-manager-1.0.15.tgz",
        "2b9d65cb7913e1c7d671757a10008b32c9c2448d4429513371e55c07d6107638",
        "package/dist/embed-amd.js",
    ),
)


# ---- in the kernel


def _all(kind):
    return [widget for widget in _instances.values() if isinstance(widget, kind)]


def compute():
    """Compute every panel of this kernel as if it were on a screen, also those with a button; return {name: its words}."""
    words = {}
    for panel in _all(Panel):
        if panel.values is None:
            panel._state.available, panel._state.ratio = WIDTH, RATIO
            panel._compute(panel._now(), progress=Progress() if panel._button and panel._wants_progress else None)
        texts = [view.value for view in panel._box.children if isinstance(view, ipywidgets.HTML)]
        words[panel.function.__name__] = " ".join(unescape(re.sub("<[^>]*>", " ", " ".join(texts))).split())
    return words


def freeze():
    """Leave of this kernel's panels what can be seen or moved without it: sliders joined to bars in the browser, else words."""
    live = {link.source[0] for link in _all(Link) if isinstance(link.target[0], Bars)}
    for panel in _all(Panel):
        moves = live if any(isinstance(view, Bars) for view in panel._box.children) else set()
        kept = [control for control in panel.controls.values() if control in moves]
        others = {n: c for n, c in panel.controls.items() if c not in moves and c.value not in ("", None)}
        failed = panel.values is None
        said = panel._state.message if failed else f"Shown for {panel._made_for(others)}." if others else ""
        note = [plain(ipywidgets.HTML, value=panel._html(said))] if said else []
        panel.children = [*kept, *note, panel._box]
    for widget in _instances.values():
        if widget.has_trait("disabled") and widget not in live:
            widget.disabled = True


# ---- outside


def run(book, folder):
    """Run a notebook's cells in ``folder``, in a kernel as pages have it; outputs and widgets' states are kept in ``book``.

    Raises nbclient's CellExecutionError where one fails.
    """
    import zmq
    from nbclient import NotebookClient
    from traitlets.config import Config

    from .kernels import KernelManager
    from .program_cache import ProgramCache

    # As in lab.serving: other users of this machine cannot listen in.
    config = Config(KernelManager={"transport_encryption": "auto" if zmq.has("curve") else "disabled"})
    programs, resources = ProgramCache(), {"metadata": {"path": str(folder)}}
    client = NotebookClient(book, kernel_manager_class=KernelManager, timeout=None, resources=resources, config=config)
    try:
        client.execute(env={**os.environ, "TF_XLA_FLAGS": programs.flags(os.environ)})
    except Exception:
        # Ctrl-C, which nbclient takes for itself: it ends the kernel, and then fails at that there is none.
        if ending := getattr(client, "_async_cleanup_kernel_future", None):
            ending.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise KeyboardInterrupt from None
        raise
    finally:
        programs.tidy()


def executed(book, folder, frozen=False):
    """Run a notebook in ``folder`` as ``run`` and compute its panels; return {panel's function: its words}.

    ``frozen`` widgets do without a kernel. Raises ValueError, in one line, where a cell fails.
    """
    import nbformat
    from nbclient.exceptions import CellExecutionError

    last = f"from kdlab.lab import handout\n\nwords = handout.compute(){'; handout.freeze()' * frozen}\nwords"
    book.cells.append(nbformat.v4.new_code_cell(last))
    try:
        run(book, folder)
    except CellExecutionError as error:
        raise ValueError(f"{error.ename}: {error.evalue}") from error
    return ast.literal_eval(book.cells.pop().outputs[-1].data["text/plain"])


def write_handout(folder, names=None, force=False, say=print):
    """Write executed pages to ``folder``: NAME.html of the home page and each chapter, or of ``names``, and what they share.

    Raises ValueError for a page that is there, unless ``force`` replaces it, or where a cell fails.
    """
    import nbformat

    folder, names = Path(folder), names or [HOME, *(page.name for page in CHAPTERS)]
    there = [] if force else [folder / f"{name}.html" for name in names if (folder / f"{name}.html").exists()]
    if there:
        raise ValueError(f"{there[0]} exists already; --force replaces it, or give another folder")
    _write(folder / SCRIPT, widgets_script())
    for name in names:
        say(f"Running {name} …")
        book = nbformat.read(notebooks_folder() / f"{name}.ipynb", as_version=4)
        try:
            executed(book, notebooks_folder(), frozen=True)
        except ValueError as error:
            raise ValueError(f"{name} fails: {error}") from error
        _write(folder / f"{name}.html", _page(book, names))


def _write(path, text):
    with explained(path.parent, ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, ELSEWHERE) as file:
        file.write(text.encode())


def widgets_script():
    """Return the program of all pages: what shows ipywidgets and anywidget without a kernel. The first time it is downloaded."""
    import anywidget

    parts = []
    for name, file, checksum, member in PARTS:
        archive = _by_npm(name, file, checksum)
        with tarfile.open(archive) as files:
            parts.append(files.extractfile(member).read().decode())
    ours = (Path(anywidget.__file__).parent / "nbextension" / "index.js").read_text("utf-8")
    named = ours.replace('define(["@jupyter-widgets/base"]', 'define("anywidget", ["@jupyter-widgets/base"]')
    return "\n".join([*parts, f"(() => {{{named}\n}})();"])


def _by_npm(name, file, checksum):
    """Return the path of a package's archive in the cache, fetched by npm unless it is there."""
    path = cache_folder("downloads") / file
    if not path.exists():
        try:
            command = ["npm", "pack", name, "--silent", "--pack-destination", str(path.parent)]
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise OSError(
                f"npm, which fetches what shows widgets without a kernel ({name}), is not installed"
            ) from None
        if done.returncode:
            raise OSError(f"{name} could not be downloaded; npm says: {' '.join(done.stderr.split())[-300:]}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
        raise ValueError(f"{path} is not the archive that was published: remove it, and it is downloaded again")
    return path


def _page(book, names):
    """Return an executed notebook as HTML: formulas as MathML, links to the notebooks of ``names`` as links to their pages."""
    from latex2mathml.converter import convert
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return convert(body.replace("{aligned}", "{align*}"), display="block")  # which latex2mathml knows

        def inline_math(self, body):
            return convert(body)

    exporter = HTMLExporter(
        template_name="handout_template",
        extra_template_basedirs=[str(Path(__file__).parent)],
        widget_renderer_url=SCRIPT,
        filters={"markdown2html": lambda text: MarkdownWithMath(renderer=Renderer(escape=False)).render(text)},
    )
    html, _ = exporter.from_notebook_node(book)
    link = re.compile(r'<a ([^>]*)href="(\w+)\.ipynb"[^>]*>(.*?)</a>', re.DOTALL)

    def to_page(found):
        if found[2] in names:
            return found[0].replace(".ipynb", ".html")
        return "" if NAVIGATES.search(found[1]) else found[3]

    return link.sub(to_page, html)
