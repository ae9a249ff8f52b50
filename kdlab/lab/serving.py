"""The server of the dashboards: Voila on our notebooks, with what a classroom needs set right.

Some of it leans on what Voila and Jupyter have no option for, and tests tell where a new version changes it: the names by
which Voila finds its executor and exporter, and the one method of a client by which a cell is sent (``Executor``); the
list of Jinja's extensions (``KeptTemplates``); in ``kernels``, the process id of multiprocessing's forkserver and the
table of provisioners; in ``page_kernel``, the modules that ipykernel and comm look up; in the template, the widget
manager's way to make a comm.
"""

import asyncio
import contextlib
import errno
import functools
import gc
import ipaddress
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import webbrowser
from html import escape
from pathlib import Path, PurePath
from types import SimpleNamespace
from urllib.parse import quote

import segno
import zmq
from jinja2 import MemcachedBytecodeCache, pass_context
from jinja2.ext import Extension
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from nbconvert.exporters import templateexporter
from nbconvert.filters.highlight import Highlight2HTML
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import GZipContentEncoding, HTTPError, RedirectHandler, StaticFileHandler
from traitlets import Bool, Float, Integer
from traitlets.config import Config
from voila import notebook_renderer
from voila.app import Voila
from voila.execute import VoilaExecutor
from voila.exporter import VoilaExporter
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from ..memory import free_memory, return_free_memory, share_one_heap
from .kernels import EXTENSIONS, FORKED, NOT_FORKED, UPLOADS, KernelSpecs, end_kernels, start_forkserver
from .page_files import PROGRAM, Copies, Files
from .pages import HOME, OWN, notebooks_folder, notebooks_in
from .program_cache import ProgramCache

CULL_EVERY = 30  # seconds
PROTOCOL = "v1.kernel.websocket.jupyter.org"  # of pages and kernels, as JupyterLab's libraries speak it
# Bytes of memory: a kernel of a page whose first panels are used, and the server with what kernels are forked from.
FORKED_KERNEL, ORDINARY_KERNEL, SERVER = 200e6, 600e6, 800e6
WHOLE_PAGE = 400e6  # what a page adds once everything on it was computed: so much must be free for another one
AGAIN_AFTER = 5  # seconds until a visitor who found no room is let try again
NO_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{more}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 18px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2733; max-width: 640px; margin: 20vh auto;
padding: 0 24px; }} a {{ color: #005f96; }}</style></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""
FULL_PAGE = NO_PAGE.format(
    title="The server is full",
    more=f'<meta http-equiv="refresh" content="{AGAIN_AFTER}">',
    text="The server has no room for another page just now. This page tries again "
    f"every {AGAIN_AFTER} seconds and opens as soon as somebody leaves; pages that you do not need can be closed.",
)
EVERY_ADDRESS = ("", "0.0.0.0", "::")


class PageHandler(TornadoVoilaHandler):
    """Shows a page, which starts a kernel: so another site may lead to one, but not load it as an image or a frame.

    Browsers say what they ask for with https and on this machine; where they do not, the page is shown.
    """

    async def get(self, path=None):
        """Answer unless the browser says that another site asks for something else than to go to the page.

        Pages lie in the notebooks' folder itself: what is in folders below it, such as the exercise sheets with their
        solutions, is none.
        """
        if path and PurePath(path).name != path:
            raise HTTPError(404, "there is no such page")
        came_from = self.request.headers.get("Sec-Fetch-Site", "none")
        if came_from not in ("same-origin", "none") and self.request.headers.get("Sec-Fetch-Dest") != "document":
            raise HTTPError(403, "a page can be opened by a link from another site, but not loaded into it")
        await super().get(path)

    def write_error(self, status_code, **options):
        """Say that the house is full, and try again; or what is wrong, with a way home."""
        error = options.get("exc_info", (None,) * 2)[1]
        if isinstance(error, FullHouseError):
            self.set_header("Retry-After", str(AGAIN_AFTER))
            self.finish(FULL_PAGE)
            return
        if status_code == 404:
            title, text = "There is no such page", ""
        elif status_code == 403:
            title, text = "This page cannot be opened so", escape(getattr(error, "log_message", None) or "")
        else:
            title = "This page cannot be shown"
            text = "Its notebook is damaged. " if status_code == 400 else "The server could not start it. "
            text += (
                escape(str(error))
                if self.log.isEnabledFor(logging.INFO)
                else "Started with --verbose, kdlab says more."
            )
        home = f'<br><a href="{escape(self.base_url)}">Home</a>'
        self.finish(NO_PAGE.format(title=title, more="", text=text + home))


class ShutdownHandler(VoilaShutdownKernelHandler):
    """Ends the kernel of a page that is left.

    The page says so with a beacon, which cannot carry Voila's cross-site token, so Voila answers 403 and the kernel
    stays (voila #1458). The kernel's random id in the path is as hard to guess as the token: for this one handler
    it takes the token's place, and every other one keeps its protection.
    """

    def check_xsrf_cookie(self):
        """Accept the beacon."""


class ChannelsHandler(VoilaKernelWebsocketHandler):
    """Speaks with a page's widgets in the one protocol that Voila can read.

    Voila takes every binary message for one of that protocol, and counts through one of the older for hours, in which the
    server answers nobody. Jupyter falls back on the older while a connection closes.
    """

    @property
    def ping_interval(self):
        """Milliseconds between two pings, as Jupyter takes it, which sends them.

        Tornado takes it for seconds when the page connects, and would sleep for eight hours. The timer of a cancelled sleep
        keeps the whole connection in memory until asyncio has a hundred such to clear away.
        """
        return super().ping_interval if self.ws_connection else 0

    def write_message(self, message, binary=False):
        """Send a message, unless the connection closes; a page that has gone before it came is no error."""
        sent = super().write_message(message, binary) if self.ws_connection else None
        if sent is not None:
            sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        return sent

    async def get(self, *arguments, **options):
        """Connect, or answer that this protocol is spoken here."""
        if PROTOCOL not in self.request.headers.get("Sec-WebSocket-Protocol", ""):
            raise HTTPError(400, f"only {PROTOCOL} is spoken here")
        try:
            await super().get(*arguments, **options)
        except TimeoutError:
            raise HTTPError(404, "the kernel died before it answered") from None

    def write_error(self, status_code, **options):
        """Answer with the status alone: Jupyter's page about an error needs files that are not served, and fails."""
        self.finish()


class Executor(VoilaExecutor):
    """Hands the kernel all cells of a page at once, so that it never waits for what the server makes of the one before.

    Chapter 2 has fifty; one by one they take half as long again. What cells' tags say, and that one that fails stops
    those after it, is as before.
    """

    _requests = None

    async def async_start_new_kernel_client(self):
        """Return the kernel's client; the page of a kernel that dies before it answers, or never does, ends without a cell.

        Its own script says so then. Whatever went wrong, Voila would send it signs of life for ever.
        """
        kernel = self.km
        try:
            return await super().async_start_new_kernel_client()
        except Exception:
            self.nb.cells = []
            with contextlib.suppress(HTTPError):  # it is no more among the kernels
                await kernel.parent.shutdown_kernel(kernel.kernel_id, now=True)
            return SimpleNamespace(execute=lambda *request, **options: None, stop_channels=lambda: None)

    async def execute_cell(self, cell, resources, cell_index, store_history=True):
        """Return the cell with its outputs."""
        if self._requests is None:
            self._requests = iter([self._ask(c) for c in self.nb.cells if self._is_executed(c)])
            self.kc.execute = lambda source, **options: next(self._requests)
        return await super().execute_cell(cell, resources, cell_index, store_history)

    def _is_executed(self, cell):
        skipped = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not skipped

    def _ask(self, cell):
        may_fail = self.allow_errors or "raises-exception" in cell.metadata.get("tags", [])
        return self.kc.execute(cell.source, store_history=False, stop_on_error=not may_fail)


class Exporter(VoilaExporter):
    """Keeps the prose of cells as HTML: Voila makes it anew for every visitor."""

    _kept = {}  # noqa: RUF012

    @pass_context
    def markdown2html(self, context, source):
        """Return a cell's ``source`` as HTML; with pictures, which are read from files, it is not kept."""
        if "![" in source or "<img" in source:
            return super().markdown2html(context, source)
        if source not in self._kept:
            if len(self._kept) >= 1000:
                self._kept.clear()
            self._kept[source] = super().markdown2html(context, source)
        return self._kept[source]


class FullHouseError(HTTPError):
    """There is no room for another kernel."""

    def __init__(self):
        super().__init__(503, "the server is full")


class Kernels(AsyncMappingKernelManager):
    """So many kernels and no more, whose logs (TensorFlow greets at length) do not run over the server's own lines."""

    quiet = Bool(True, help="Whether the kernels' logs are dropped.").tag(config=True)
    limit = Integer(1, help="How many kernels there may be.").tag(config=True)
    spare = Float(0, help="How many bytes of memory must be free for a second kernel and more.").tag(config=True)
    _starting = 0

    async def start_kernel(self, **options):
        """Start a kernel, and return its id; raises FullHouseError, which the visitor's page shows."""
        there = len(self) + self._starting
        if there >= self.limit or (there and self.spare and free_memory() < self.spare):
            raise FullHouseError
        environment = {**options.pop("env", os.environ)}
        environment["TF_XLA_FLAGS"] = self.parent.programs.flags(environment)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if self.quiet else {}
        self._starting += 1
        try:
            return await super().start_kernel(env=environment, **quiet, **options)
        finally:
            self._starting -= 1


class OwnNotebooks(LargeFileManager):
    """The notebooks of the folder that is served, a lecturer's or our own, and the shipped ones that it does not replace."""

    def get(self, path, *arguments, **options):
        """Return the model of a notebook, the shipped one where the folder has none of that name."""
        if self.file_exists(path):
            return super().get(path, *arguments, **options)
        return LargeFileManager(root_dir=str(notebooks_folder())).get(path, *arguments, **options)


class Dashboards(Voila):
    """Voila with a home page instead of a file list, and without the handlers that read files."""

    def init_handlers(self):
        """Return Voila's handlers less the tree, contents and file ones, with ours for home, for a page and for leaving it."""
        home = url_path_join(self.base_url, "voila/render", f"{HOME}.ipynb")
        ours = {r"/voila/api/shutdown/(.*)": ShutdownHandler, r"/voila/render/(.*)": PageHandler}
        unwanted = ("/voila/tree", "/voila/api/contents", "/voila/files/")
        handlers = [(self.server_url, RedirectHandler, {"url": home, "permanent": False})]
        for pattern, handler, *options in super().init_handlers():
            if not pattern.startswith(self.server_url):  # Voila leaves Jupyter's own, to log in and out, at the root
                pattern = url_path_join(self.server_url, pattern)
            path = "/" + pattern.removeprefix(self.server_url).lstrip("/")
            if pattern == self.server_url or path.startswith(unwanted):
                continue
            if path.startswith("/voila/templates/"):  # Voila fails at a path that leads elsewhere
                pattern = pattern.replace("(.*)", r"([^/]+/static/(?!.*(?:\.\.|%)).+)")
            handler = ours.get(path, ChannelsHandler if path.endswith("/channels") else handler)
            if issubclass(handler, StaticFileHandler):
                handler = type(handler.__name__, (Files, handler), {})
            handlers.append((pattern, handler, *options))
        return handlers

    def init_settings(self):
        """Return Voila's settings, with the notebooks of two folders in place of one."""
        return super().init_settings() | {"contents_manager": OwnNotebooks(parent=self)}

    def load_config_file(self, *names, **options):
        """Read none: what a file says to other Voilas, in this folder or the user's, is not meant for these pages."""

    def setup_template_dirs(self):
        """Put our own template first, and those that it is made from before others of their names in the user's folders."""
        super().setup_template_dirs()
        for paths in (self.template_paths, self.static_paths):
            paths.sort(key=lambda path: not path.startswith(os.path.join(sys.prefix, "share", "jupyter")))
        self.template_paths.insert(0, str(Path(__file__).parent / "voila_template"))

    def listen(self):
        """Serve on the sockets that are bound already, until the loop is stopped; the kernels are left to the caller."""
        self.app.add_transform(GZipContentEncoding)  # of what no handler has compressed: the pages themselves
        HTTPServer(self.app).add_sockets(self.sockets)
        if self.open_browser:
            self.launch_browser()
        loop = IOLoop.current()
        PeriodicCallback(self.tidy, 1000 * CULL_EVERY).start()
        gc.freeze()  # what is there now stays, and need not be looked through
        self._preparing = loop.asyncio_loop.create_task(self.prepare())  # kept: a task that nobody holds can go
        try:
            loop.start()
        finally:
            shutil.rmtree(self.connection_dir, ignore_errors=True)

    async def prepare(self):
        """Make what the first visitor would wait for while what kernels are forked from is imported.

        A page without its kernel, for the notebooks' format, the templates and the colours of code are compiled when they
        are used first; and the copies of the pages' program.
        """

        async def no_kernel(notebook):
            return ""

        async def cells(notebook, kernel):
            for cell in notebook.cells:
                yield cell

        page = {"frontend": "voila", "kernel_start": no_kernel, "cell_generator": cells}
        renderer = notebook_renderer.NotebookRenderer(
            voila_configuration=self.voila_configuration,
            traitlet_config=self.config,
            notebook_path=f"{HOME}.ipynb",
            template_paths=self.template_paths,
            contents_manager=OwnNotebooks(parent=self),
            kernel_spec_manager=self.kernel_spec_manager,
            base_url=self.base_url,
            page_config={},
        )
        with contextlib.suppress(Exception):  # one that cannot be shown says so to its visitor
            await renderer.initialize()
            rendered = renderer.exporter.generate_from_notebook_node(renderer.notebook, renderer.resources, page, {})
            async for _ in rendered:
                pass
            highlighted("import kdlab")
        with contextlib.suppress(OSError, StopIteration):
            paths = (os.path.abspath(f"{folder}/{PROGRAM}") for folder in self.static_paths)
            program = next(filter(os.path.isfile, paths))
            await asyncio.to_thread(self.tornado_settings["copies"].of, program, compressed=True)

    def tidy(self):
        """Let go of what visits left: their objects refer to each other, and keep memory and open files."""
        gc.collect()
        return_free_memory()
        IOLoop.current().run_in_executor(None, self.programs.tidy)

    def launch_browser(self):
        """Open the home page in the browser, without keeping the server waiting."""
        threading.Thread(target=webbrowser.open, args=(self.address,), daemon=True).start()

    @property
    def address(self):
        """The URL to open here, with the token where there is one."""
        return self.address_as("127.0.0.1" if self.ip in EVERY_ADDRESS else self.ip)

    def address_as(self, host):
        """Return the URL for a browser that knows this machine as ``host``."""
        host = f"[{host}]" if ":" in host else host
        token = f"?token={quote(self.token, safe='')}" if self.token else ""
        return f"http://{host}:{self.port}{self.base_url}{token}"


class KeptTemplates(Extension):
    """Keeps compiled templates: Voila makes a new environment for every visitor, which would compile them anew."""

    class _Kept(dict):
        set = dict.__setitem__

    cache = MemcachedBytecodeCache(_Kept())

    def __init__(self, environment):
        super().__init__(environment)
        environment.bytecode_cache = self.cache


highlighted = functools.lru_cache(1000)(Highlight2HTML(pygments_lexer="ipython3"))
"""A cell's source as coloured HTML, by Voila's own filter, which would colour it for each visitor anew."""


def bound(ip, port, tries=50):
    """Return sockets on ``port``, or the next free one after it; raises OSError, saying so, where ``ip`` cannot be used."""
    for candidate in range(port, min(port + tries, 65536)):
        try:
            return bind_sockets(candidate, ip)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(f"--ip must be an address of this machine, got {ip!r} ({error.strerror})") from None
    raise OSError(f"no free port from {port} to {min(port + tries, 65536) - 1} on {ip}; choose another with --port")


def room():
    """Return how many kernels there is memory for, by what is free now."""
    each = FORKED_KERNEL if FORKED else ORDINARY_KERNEL
    return max(1, int((free_memory() - SERVER) // each))


def transport(private):
    """Return how server and kernels speak, so that other users of this machine cannot listen in.

    By sockets in a private folder, which no other server's kernel can take first as it can a port; encrypted where there
    are none or the folder's path is too long for them (jupyter_client adds 50 signs, and Linux allows 107).
    """
    if FORKED and len(os.fsencode(private)) <= 56:
        return {"transport": "ipc"}
    return {"transport_encryption": "auto" if zmq.has("curve") else "disabled"}


def end_on_signals(loop):
    """Have Ctrl-C and SIGTERM stop ``loop``, and interrupt whatever runs the second time.

    An exception raised where the server just is can be lost there: Voila's code is left in a ``finally`` that raises
    another, and the server would go on.
    """

    def stop(number, _):
        signal.signal(number, signal.default_int_handler)
        loop.asyncio_loop.call_soon_threadsafe(loop.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def tell_others(address):
    """Print the address for other machines, and in a terminal as a QR code too, to be projected."""
    print(f"From other machines: {address}", flush=True)
    if sys.stdout.isatty():
        segno.make(address, micro=False).terminal(compact=True)


def _with_notebooks(folder):
    """Return the path of ``folder``, or raise ValueError unless it is one with notebooks in it."""
    path = Path(folder).resolve()
    if not path.is_dir():
        raise ValueError(f"--notebooks must be a folder of notebooks, and there is no folder {folder}")
    if not notebooks_in(path):
        raise ValueError(f"--notebooks must be a folder of notebooks, and there is none (.ipynb) in {folder}")
    return path


def reachable_as():
    """Return an address by which other machines reach this one, as far as it can know."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # an address of nobody: nothing is sent, but the way there is looked up
        return probe.getsockname()[0]
    return socket.gethostname()


def serve(
    ip="127.0.0.1",
    port=8866,
    base_url="/",
    browser=True,
    token=None,
    allow_anonymous=False,
    max_kernels=None,
    cull_after=300,
    notebooks=None,
    verbose=False,
):
    """Serve the home page and every chapter until Ctrl-C or SIGTERM, which ends all kernels.

    Another address than loopback needs ``token`` ("" makes one up) or ``allow_anonymous``; ValueError otherwise.
    ``max_kernels`` pages may be open at once, by default as many as there is memory for, now and later; the kernel of
    a page that nobody is connected to ends after ``cull_after`` seconds. ``notebooks`` is a folder of pages to serve
    beside the shipped ones (ValueError where there are none). ``verbose`` shows what kernels log.
    """
    share_one_heap()
    if notebooks is not None:
        notebooks = _with_notebooks(notebooks)
    if token == "":
        token = secrets.token_urlsafe(16)
    sockets = bound(ip, port)
    # What is listened on, not what was asked for: a name can stand for any address.
    loopback = all(ipaddress.ip_address(bound.getsockname()[0]).is_loopback for bound in sockets)
    if not (loopback or token or allow_anonymous):
        raise ValueError(
            f"--ip {ip} can be reached from other machines: give --token (or --token SECRET) to ask visitors for it, "
            "or --allow-anonymous to let everybody in"
        )
    chosen = sockets[0].getsockname()[1]
    if chosen != port:
        print(f"Port {port} is taken; using {chosen}, the next free one.", flush=True)
    if FORKED:
        start_forkserver()
    else:
        print(NOT_FORKED, flush=True)
    programs = ProgramCache()
    private = tempfile.mkdtemp(prefix="kdlab-")  # for this user alone
    try:
        app = Dashboards(
            ip=ip, port=chosen, base_url=base_url, open_browser=browser, root_dir=str(notebooks or notebooks_folder())
        )
        app.sockets, app.programs = sockets, programs
        app.log_level = "INFO" if verbose else "ERROR"
        if not verbose:  # of a page that is left while something comes for it, say
            logging.getLogger("tornado.general").setLevel(logging.ERROR)
        places = max_kernels or room()
        app.update_config(
            Config(
                Dashboards={
                    "token": token,
                    # A page of another site whose name is bent to this machine (DNS rebinding) is turned away. One that
                    # asks for a token, or lets everybody in, may stand behind a reverse proxy under any name.
                    "tornado_settings": {
                        "allow_remote_access": not loopback or bool(token) or allow_anonymous,
                        "local_hostnames": ["localhost"],
                        "copies": Copies.of_this_python(Path(private, "copies")),
                        **UPLOADS,
                    },
                },
                PasswordIdentityProvider={"allow_password_change": False},
                VoilaConfiguration={
                    "template": "kdlab",
                    "allow_template_override": "NO",
                    "strip_sources": True,
                    # A template's conf.json in the user's folders may have options, too.
                    "preheat_kernel": False,
                    "progressive_rendering": False,
                    "show_tracebacks": verbose,
                    "kernel_spec_manager_class": KernelSpecs,
                    "multi_kernel_manager_class": Kernels,
                    "extension_allowlist": EXTENSIONS,
                },
                # A kernel that died is not started anew behind a page that knows nothing of it: the page says so.
                KernelRestarter={"restart_limit": 0},
                KernelManager={"client_class": "kdlab.lab.kernels.Client", **transport(private)},
                # A page is asked for often and its notebook stays: nothing is kept or made that no page shows.
                VoilaExporter={
                    "optimistic_validation": True,
                    "filters": {"highlight_code": lambda source, metadata=None: highlighted(source)},
                },
                VoilaExecutor={
                    "record_timing": False,
                    "cell_error_instruction": "Started with --verbose, kdlab shows it here.",
                },
                Kernels={
                    "quiet": not verbose,
                    "limit": places,
                    "spare": 0 if max_kernels else WHOLE_PAGE,
                    "connection_dir": private,
                },
                MappingKernelManager={"cull_idle_timeout": cull_after, "cull_interval": min(CULL_EVERY, cull_after)},
            )
        )
        templateexporter.JINJA_EXTENSIONS.append(KeptTemplates)
        # Voila has no options for them.
        notebook_renderer.VoilaExecutor, notebook_renderer.VoilaExporter = Executor, Exporter
        if notebooks:
            os.environ[OWN] = str(notebooks)  # for the home page's kernel
        app.initialize([])
        end_on_signals(IOLoop.current())
        print(f"Room for {places} open pages{'' if max_kernels else ', given the free memory'}.", flush=True)
        print(f"The dashboards are at {app.address}  (Ctrl-C stops them)", flush=True)
        if ip in EVERY_ADDRESS:
            tell_others(app.address_as(reachable_as()))
        with contextlib.suppress(KeyboardInterrupt):
            app.start()
    finally:
        end_kernels()
        shutil.rmtree(private, ignore_errors=True)
        programs.tidy()
