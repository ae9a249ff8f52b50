"""A real JupyterHub with the configuration in binder/: two users, each with a server of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CHAPTER = "01_temperature_softening"
CONFIGURATION = Path(__file__).parents[2] / "binder" / "jupyterhub_config.py"

# What the configuration leaves open, and what makes a test short.
OWN = """
import sys
load_subconfig({configuration!r})
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.args += ["--allow-root"]  # as a container's user may be
c.Spawner.environment = {{"JUPYTERHUB_ACTIVITY_INTERVAL": "1", "HOME": {home!r}}} | {light!r}


def cull_soon(spawner):
    if spawner.user.name == "grace":
        spawner.args = [arg.replace("timeout=600", "timeout=5").replace("interval=60", "interval=1") for arg in spawner.args]


c.Spawner.pre_spawn_hook = cull_soon
# Who is idle is looked for when the test has closed its pages: a first one may take half a minute.
command = c.JupyterHub.services[0]["command"]
command[:] = [sys.executable, "-c", {waits!r}, {left!r}, *command[:-1], "--timeout=3", "--cull-every=1"]
c.JupyterHub.last_activity_interval = 1
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_port = {ports[1]}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = {proxy!r}
"""

WAITS = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """JupyterHub's proxy, which is a program of npm's."""
    folder = tmp_path_factory.mktemp("proxy")
    npm = shutil.which("npm")
    command = [npm, "install", "--silent", "--prefix", str(folder), "configurable-http-proxy@5"]
    done = subprocess.run(command, capture_output=True, text=True) if npm else None
    if not npm or done.returncode:
        reason = f"no configurable-http-proxy from npm ({done.stderr[-200:] if done else 'no npm found'})"
        if os.environ.get("KDLAB_REQUIRE_NETWORK"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(folder / "node_modules" / ".bin" / "configurable-http-proxy")


@pytest.fixture
def hub(tmp_path, proxy, light, wait):
    """The process of a hub that serves, with ``.url``."""
    ports = free_ports(3)
    paths = {"configuration": CONFIGURATION, "home": tmp_path / "{username}", "left": tmp_path / "left"}
    others = {"ports": ports, "proxy": proxy, "light": light, "waits": WAITS}
    own = OWN.format(**{name: str(path) for name, path in paths.items()}, **others)
    (tmp_path / "config.py").write_text(own)
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "config.py"],
            cwd=tmp_path,
            stdout=out,
            stderr=out,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    process.url, process.log = f"http://127.0.0.1:{ports[0]}/", log
    assert wait(lambda: "is now running" in log.read_text(), 60), log.read_text()
    yield process
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def servers(hub):
    """The users' servers."""
    found = []
    for process in psutil.Process(hub.pid).children(recursive=True):
        try:
            found += [process] if "--copy-to" in process.cmdline() else []
        except psutil.Error:
            continue
    return found


def kernels(server):
    """The kernels of a user's server: each leads a session of its own."""
    found = []
    for child in server.children(recursive=True):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            found += [child] if os.getsid(child.pid) == child.pid else []
    return found


def test_two_users_have_dashboards_of_their_own_that_end_when_they_are_left(hub, browser, tmp_path, wait):
    pages, contexts = {}, []
    for user in ("ada", "grace"):
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.failed = []
        page.on("requestfailed", lambda request, page=page: page.failed.append(request.url))
        page.goto(hub.url)
        page.fill("#username_input", user)
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.wait_for_url("**/voila/render/index.ipynb", timeout=90_000)
        page.wait_for_selector(".kd-card", timeout=60_000)
        pages[user] = page
    for user, page in pages.items():
        assert f"/user/{user}/" in page.url
        assert (tmp_path / user / "kdlab-notebooks" / f"{CHAPTER}.ipynb").exists()
    pages["ada"].goto(pages["ada"].url.replace("index", CHAPTER))
    pages["ada"].wait_for_selector("[data-kdlab=figure] img", timeout=60_000)
    pages["ada"].wait_for_selector("mjx-container", timeout=60_000)  # with nothing from elsewhere:
    assert [url for page in pages.values() for url in page.failed if not url.startswith(hub.url)] == []
    assert pages["grace"].goto(pages["ada"].url).status in (403, 404)  # a user's server lets nobody else in
    pages["grace"].go_back()
    pages["grace"].wait_for_selector(".kd-card", timeout=60_000)

    ours = servers(hub)
    assert len(ours) == 2
    # The page of before has ended its kernel; one that is looked at goes on asking for its own.
    assert wait(lambda: [len(kernels(server)) for server in ours] == [1, 1], 20)
    # A browser that dies says nothing when it goes: its kernel ends when it was idle for long.
    pages["grace"].context.set_offline(True)
    pages["grace"].close(run_before_unload=True)
    assert wait(lambda: sorted(len(kernels(server)) for server in ours) == [0, 1], 20)
    assert pages["ada"].locator("#kd-lost").count() == 0
    pages["ada"].close(run_before_unload=True)
    assert wait(lambda: not any(map(kernels, filter(psutil.Process.is_running, ours))), 10)
    for context in contexts:
        context.close()
    (tmp_path / "left").touch()
    _, alive = psutil.wait_procs(ours, timeout=120)  # nobody uses them any more
    assert alive == []
