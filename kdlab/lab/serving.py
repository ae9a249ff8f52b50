"""The server of the dashboards: Voila on our notebooks, with what a classroom needs set right."""

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket
import subprocess
import threading
import time
import webbrowser
from pathlib import Path
from urllib.parse import quote

import psutil
import zmq
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import HTTPError, RedirectHandler
from traitlets import Bool
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.utils import ENV_VARIABLE

from .kernels import KernelSpecs
from .pages import CHAPTERS, HOME, notebooks_folder

__all__ = ["Dashboards", "bound", "is_loopback", "serve"]

# A kernel without a page (a link preview, a crashed browser) goes after five minutes; one whose page is left, at once.
CULL_AFTER, CULL_EVERY = 300, 30
# A page just opened has the processors to itself for so long before a kernel is started for the next visitor, in seconds.
REFILL_AFTER = 8
PAGE = "KDLAB_PAGE"  # in the environment of a kernel started ahead: the notebook it is for
EVERY_ADDRESS = ("", "0.0.0.0", "::")


class PageHandler(TornadoVoilaHandler):
    """Shows a page, which starts a kernel: so another site may lead to one, but not load it as an image or a frame.

    Browsers say what they ask for with https and on this machine; where they do not, the page is shown.
    """

    async def get(self, path=None):
        """Answer unless the browser says that another site asks for something else than to go to the page."""
        came_from = self.request.headers.get("Sec-Fetch-Site", "none")
        if came_from not in ("same-origin", "none") and self.request.headers.get("Sec-Fetch-Dest") != "document":
            raise HTTPError(403, "a page can be opened by a link from another site, but not loaded into it")
        self.kernel_manager.visited(path)
        await super().get(path)


class ShutdownHandler(VoilaShutdownKernelHandler):
    """Ends the kernel of a page that is left.

    The page says so with a beacon, which cannot carry Voila's cross-site token, so Voila answers 403 and the kernel
    stays (voila #1458). The kernel's random id in the path is as hard to guess as the token: for this one handler
    it takes the token's place, and every other one keeps its protection.
    """

    def check_xsrf_cookie(self):
        """Accept the beacon."""


class Kernels(AsyncMappingKernelManager):
    """Kernels whose logs (TensorFlow greets at length) do not run over the server's own lines, started ahead with care.

    One kernel at a time is started for a next visitor, home first, then the chapters, and when nobody has come for a
    while; or at once if somebody waits for it.
    """

    quiet = Bool(True, help="Whether the kernels' logs are dropped.").tag(config=True)

    def __init__(self, **options):
        self._visited, self._wanted, self._queue, self._starting = -float("inf"), set(), [], 0
        super().__init__(**options)

    def visited(self, path):
        """Take notice of a visitor of the notebook at ``path``."""
        ahead = self._ahead().get(path)
        if ahead and not ahead[0].done():
            self._wanted.add(path)
        else:
            self._visited = time.monotonic()

    async def _turn(self, page):
        """Return when it is time to start a kernel for the next visitor of the notebook at ``page``."""
        self._queue.append(page)
        while page not in self._wanted and (
            time.monotonic() < self._visited + REFILL_AFTER or page != min(self._queue, key=_order) or self._busy()
        ):
            await asyncio.sleep(0.1)
        self._queue.remove(page)
        self._wanted.discard(page)

    def _ahead(self):
        """Return Voila's tasks that start kernels ahead, {notebook: the next visitor's first}."""
        return getattr(self, "_pools", {})

    def _busy(self):
        """Tell whether a kernel started ahead still runs its notebook."""
        started = [task for tasks in self._ahead().values() for task in tasks if task.done() and not task.cancelled()]
        return self._starting > 0 or any(not task.exception() and not task.result()["task"].done() for task in started)

    async def _async_start_kernel(self, **options):
        environment = options.get("env", {})
        if environment.get(ENV_VARIABLE.VOILA_PREHEAT) == "True":  # for a visitor who is there Voila says "False"
            await self._turn(environment.get(PAGE, ""))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if self.quiet else {}
        self._starting += 1
        try:
            return await super()._async_start_kernel(**quiet, **options)
        finally:
            self._starting -= 1

    start_kernel = _async_start_kernel


def _order(page):
    return page != f"{HOME}.ipynb", page


class Dashboards(Voila):
    """Voila with a home page instead of a file list, and without the handlers that read files."""

    def init_handlers(self):
        """Return Voila's handlers less the tree, contents and file ones, with ours for home, for a page and for leaving it."""
        home = url_path_join(self.base_url, "voila/render", f"{HOME}.ipynb")
        ours = {r"/voila/api/shutdown/(.*)": ShutdownHandler, r"/voila/render/(.*)": PageHandler}
        unwanted = ("/voila/tree", "/voila/api/contents", "/voila/files/")
        handlers = [(self.server_url, RedirectHandler, {"url": home, "permanent": False})]
        for pattern, handler, *options in super().init_handlers():
            path = "/" + pattern.removeprefix(self.server_url).lstrip("/")
            if pattern == self.server_url or path.startswith(unwanted):
                continue
            if path in ours:
                handler = ours[path]
            handlers.append((pattern, handler, *options))
        return handlers

    def load_config_file(self, *names, **options):
        """Read none: what a file says to other Voilas, in this folder or the user's, is not meant for these pages."""

    def setup_template_dirs(self):
        """Put our own template before one of the same name in the user's folders."""
        super().setup_template_dirs()
        self.template_paths.insert(0, str(Path(__file__).parent / "voila_template"))

    def listen(self):
        """Serve on the sockets that are bound already, until the loop is stopped."""
        HTTPServer(self.app).add_sockets(self.sockets)
        if self.open_browser:
            self.launch_browser()
        self.ioloop = IOLoop.current()
        try:
            self.ioloop.start()
        finally:
            self.stop()

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


def is_loopback(ip):
    """Return whether only this machine can reach a server bound to ``ip``."""
    if ip == "localhost":
        return True
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False


def bound(ip, port, tries=50):
    """Return sockets on ``port``, or the next free one after it; raises OSError, saying so, where ``ip`` cannot be used."""
    for candidate in range(port, min(port + tries, 65536)):
        try:
            return bind_sockets(candidate, ip)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(f"--ip must be an address of this machine, got {ip!r} ({error.strerror})") from None
    raise OSError(f"no free port from {port} to {min(port + tries, 65536) - 1} on {ip}; choose another with --port")


def serve(
    ip="127.0.0.1",
    port=8866,
    base_url="/",
    browser=True,
    token=None,
    allow_anonymous=False,
    pool=1,
    verbose=False,
):
    """Serve the home page and every chapter until Ctrl-C, which ends all kernels.

    Another address than loopback needs ``token`` ("" makes one up) or ``allow_anonymous``; ValueError otherwise.
    ``pool`` kernels per page are started ahead, so that a page opens at once, with TensorFlow where there is memory
    for it (``worker.warm_up``); ``verbose`` shows what they log.
    """
    if token == "":
        token = secrets.token_urlsafe(16)
    sockets = bound(ip, port)
    # What is listened on, not what was asked for: a name can stand for any address.
    loopback = all(is_loopback(bound.getsockname()[0]) for bound in sockets)
    if not (loopback or token or allow_anonymous):
        raise ValueError(
            f"--ip {ip} can be reached from other machines: give --token (or --token SECRET) to ask visitors for it, "
            "or --allow-anonymous to let everybody in"
        )
    chosen = sockets[0].getsockname()[1]
    if chosen != port:
        print(f"Port {port} is taken; using {chosen}, the next free one.", flush=True)
    app = Dashboards(ip=ip, port=chosen, base_url=base_url, open_browser=browser, root_dir=str(notebooks_folder()))
    app.sockets = sockets
    app.log_level = "INFO" if verbose else "ERROR"
    pages = [f"{name}.ipynb" for name in (HOME, *(page.name for page in CHAPTERS))]
    app.update_config(
        Config(
            Dashboards={
                "token": token,
                # A page of another site whose name is bent to this machine (DNS rebinding) is turned away. One that asks
                # for a token, or lets everybody in, may stand behind a reverse proxy under any name.
                "tornado_settings": {
                    "allow_remote_access": not loopback or bool(token) or allow_anonymous,
                    "local_hostnames": ["localhost"],
                },
            },
            PasswordIdentityProvider={"allow_password_change": False},
            VoilaConfiguration={
                "template": "kdlab",
                "allow_template_override": "NO",
                "strip_sources": True,
                "show_tracebacks": False,
                "kernel_spec_manager_class": KernelSpecs,
                "multi_kernel_manager_class": Kernels,
                "preheat_kernel": pool > 0,
                "default_pool_size": pool,
                # Other programs' JupyterLab extensions have no business on our pages, and cost them time.
                "extension_allowlist": [
                    "@jupyter-widgets/jupyterlab-manager",
                    "@voila-dashboards/widgets-manager8",
                    "anywidget",
                ],
            },
            # A kernel that died is not started anew behind a page that knows nothing of it: the page says so.
            KernelRestarter={"restart_limit": 0},
            # Other users of this machine cannot listen in between server and kernels (jupyter_client 8.10).
            KernelManager={"transport_encryption": "auto" if zmq.has("curve") else "disabled"},
            Kernels={"quiet": not verbose},
            VoilaKernelManager={
                "fill_delay": 0,  # ours waits, but not while somebody waits for the kernel
                "kernel_pools_config": {
                    "default": {"pool_size": pool},
                    **{page: {"pool_size": pool, "kernel_env_variables": {PAGE: page}} for page in pages},
                },
            },
            MappingKernelManager={"cull_idle_timeout": CULL_AFTER, "cull_interval": CULL_EVERY},
        )
    )
    app.initialize([])
    if pool:
        print("Starting a kernel for every page …", flush=True)
    print(f"The dashboards are at {app.address}  (Ctrl-C stops them)", flush=True)
    if ip in EVERY_ADDRESS:
        print(f"From other machines: {app.address_as(socket.gethostname())}", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt, HTTPError):  # HTTPError: a kernel not yet in Voila's books
            app.start()
    finally:
        for kernel in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.kill()
