"""The kernels of the dashboards and of ``kdlab lab``.

Python is always the one that kdlab itself runs in. On Linux a kernel is forked from a process that has everything
imported (``lab.preload``): it is there in a third of a second and shares with the others what none of them changes.
"""

import asyncio
import contextlib
import math
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from importlib.metadata import EntryPoint

import psutil
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from traitlets import DottedObjectName, Instance, Type

FORKED = sys.platform == "linux"
"""Whether kernels are forked: macOS's frameworks do not survive a fork, and Windows has none."""
NOT_FORKED = "Every kernel starts from nothing, which takes seconds: only on Linux can one be forked."

# Tornado's setting: a file that is chosen comes in one message, and above 10 MiB, its default, the connection is closed.
UPLOADS = {"websocket_max_message_size": 64 * 2**20}
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
"""Of JupyterLab's extensions those that pages load: others have no business there, and cost them time."""

_PROVISIONER = "kdlab-forked"
_LOOK_AGAIN = 0.5  # seconds
_one_at_a_time = threading.Lock()
_stopped = threading.Event()


class KernelSpecs(KernelSpecManager):
    """The installed kernels, but for "python3": another Python's of that name would come first outside an environment."""

    def find_kernel_specs(self):
        """Return {name: folder}."""
        return {**super().find_kernel_specs(), NATIVE_KERNEL_NAME: RESOURCES}

    def get_kernel_spec(self, kernel_name):
        """Return the KernelSpec; "python3" runs ``sys.executable``."""
        if kernel_name.lower() != NATIVE_KERNEL_NAME:
            return super().get_kernel_spec(kernel_name)
        spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        if FORKED:
            spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": _PROVISIONER}}
        return spec


class KernelManager(AsyncKernelManager):
    """Starts one of these kernels, for ``nbclient``; what it says of itself does not reach the terminal."""

    kernel_spec_manager = Instance(KernelSpecs, ())
    client_class = DottedObjectName("kdlab.lab.kernels.Client")

    async def start_kernel(self, **options):
        """Start the kernel with these ``options`` of its provisioner."""
        await super().start_kernel(**{"stderr": subprocess.DEVNULL} | options)


class ForkedKernel(LocalProvisioner):
    """Starts a kernel in a fork of the process that has everything imported."""

    temporary = None

    async def launch_kernel(self, cmd, **options):
        """Fork, and return the connection's particulars; ``cmd`` is [python, "-m", "ipykernel_launcher", argument, …]."""
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        quiet = options.get("stderr") == subprocess.DEVNULL
        if quiet:  # what native code writes there does not come by the other way either, into the page
            arguments.append("--IPKernelApp.capture_fd_output=False")
        # Voila's names are an enumeration's, for which the kernel would import Voila.
        environment = {str(name): value for name, value in options["env"].items()}
        # A kernel is killed, or ends without Python's last steps: what it leaves behind is taken away with the folder.
        self.temporary = tempfile.TemporaryDirectory(prefix="kdlab-kernel-", ignore_cleanup_errors=True)
        environment["TMPDIR"] = self.temporary.name
        self.cwd = options.get("cwd") or os.getcwd()
        # The first one waits until everything is imported, and the server's loop must not.
        try:
            self.process = await asyncio.to_thread(_fork, arguments, environment, str(self.cwd), quiet)
        except BaseException:
            self.temporary.cleanup()
            raise
        self.pid = self.pgid = self.process.pid
        return self.connection_info

    async def cleanup(self, restart=False):
        """Remove the kernel's temporary files."""
        if self.temporary:
            self.temporary.cleanup()
        await super().cleanup(restart)


KernelProvisionerFactory.provisioners[_PROVISIONER] = EntryPoint(
    _PROVISIONER, "kdlab.lab.kernels:ForkedKernel", KernelProvisionerFactory.GROUP_NAME
)


class _Process:
    """What a provisioner expects of a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, process):
        self._process = process  # kept, for when it goes, so does the pipe by which the kernel sees the server
        self.pid = process.pid
        self._seen = psutil.Process(process.pid)

    def poll(self):
        # Not what multiprocessing says: it takes the end of the process that forks for the end of the kernel.
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._seen.status() != psutil.STATUS_ZOMBIE:
                return None
        code = self._process.exitcode
        return 1 if code is None else code

    wait = poll  # only called once it has ended

    def send_signal(self, number):
        with contextlib.suppress(psutil.NoSuchProcess):
            self._seen.send_signal(number)


class Channel(AsyncZMQSocketChannel):
    """Looks again whether there is a message while it waits for one.

    One that comes at the moment in which another is sent, as ``nbclient`` does where an ``Output`` captures, wakes nobody:
    Jupyter sends past what waits, and ZeroMQ tells of a message once. The page was never shown.
    """

    async def get_msg(self, timeout=None):
        """Return the next message; queue.Empty after so many seconds without one."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await super().get_msg(timeout=max(0, min(_LOOK_AGAIN, end - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= end:
                    raise


class Client(AsyncKernelClient):
    """Speaks with a kernel as soon as it answers: Jupyter's own waits for a fifth of a second of silence besides."""

    shell_channel_class = Type(Channel)

    async def wait_for_ready(self, timeout=None):
        """Return when the kernel answers and what it publishes is heard.

        ``timeout`` in seconds. Raises TimeoutError after that, RuntimeError for a kernel that has died.
        """
        async with asyncio.timeout(timeout):
            while True:
                self.kernel_info()
                with contextlib.suppress(queue.Empty):
                    await self.get_shell_msg(timeout=1)
                    await self.get_iopub_msg(timeout=0.2)  # where it is not yet heard, it is asked again
                    return
                if not await self.is_alive():
                    raise RuntimeError("the kernel died before it answered")


def start_forkserver():
    """Start the process that kernels are forked from, unless it runs; it imports while the caller goes on."""
    with _one_at_a_time:
        _forkserver()


def _forkserver():
    """Return the context of the forkserver, which runs; for whoever has the lock."""
    if _stopped.is_set():
        raise ConnectionAbortedError("the server ends")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["kdlab.lab.kernels", "kdlab.lab.preload"])
    # Python would look for modules in the current folder, whatever lies there; and OpenBLAS's threads, which wait for
    # work by spinning, take a quarter of a kernel's processor time from the others (threadpoolctl gives them back).
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "1")
    if _forkserver_runs():  # the environment is the whole process's, and others may be copying it for a kernel
        return forks
    # Ctrl-C is for the server, while this imports too. (To start that tracker lets the signal through again.)
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _environment(PYTHONSAFEPATH="1", OPENBLAS_NUM_THREADS=threads):
            multiprocessing.forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return forks


def _forkserver_runs():
    pid = multiprocessing.forkserver._forkserver._forkserver_pid
    with contextlib.suppress(psutil.NoSuchProcess):
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def _environment(**variables):
    """Within the block the processes that start have these ``variables``."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_kernels():
    """End every kernel, with what they are forked from, and start none any more."""
    _stopped.set()
    _kill_children()
    with _one_at_a_time:  # one may just have been forked
        _kill_children()


def _kill_children():
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _fork(arguments, environment, folder, quiet):
    """Return the _Process of a new kernel."""
    for attempt in (1, 2):
        try:
            with _one_at_a_time, _no_main():
                process = _forkserver().Process(target=_run_kernel, args=(arguments, environment, folder, quiet))
                process.start()
            return _Process(process)
        except (OSError, EOFError, psutil.NoSuchProcess):  # what forks was killed; the next try starts another
            if attempt == 2:
                raise


@contextlib.contextmanager
def _no_main():
    """Within the block there is no program of which a new process would run the first lines again."""
    program, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _run_kernel(arguments, environment, folder, quiet):
    """Become a kernel; runs in the fork."""
    import ipywidgets
    import matplotlib
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    from . import page_kernel

    os.setsid()  # Ctrl-C in the server's terminal is for the server
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # by which a cell is stopped
    server = multiprocessing.parent_process()
    threading.Thread(target=lambda: (server.join(), os.killpg(0, signal.SIGKILL)), daemon=True).start()
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.environ["JPY_PARENT_PID"] = "1"  # no watch of its own: it takes the end of what forks for the server's
    os.chdir(folder)
    # A reader's own modules, as IPython would have it if it did not see how what this is forked from was started.
    if not environment.get("PYTHONSAFEPATH"):
        installed = (k for k, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages")))
        sys.path.insert(next(installed, 0), "")
    tempfile.tempdir = None  # to be looked up again
    if environment.get("SERVER_SOFTWARE", "").startswith("voila/"):
        arguments = [*arguments, *page_kernel.ARGUMENTS]
        page_kernel.install()
    sys.argv = ["ipykernel_launcher", *arguments]
    np.random.seed()  # noqa: NPY002 - every fork has the same state; Python's own random is seeded anew by itself
    application = IPKernelApp.instance()
    application.initialize(arguments)
    # Both look for a kernel when they are imported, and there was none yet.
    ipywidgets.register_comm_target()
    matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
    application.start()
