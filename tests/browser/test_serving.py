"""The server: what it refuses, what it says, and that it leaves nothing behind."""

import asyncio
import contextlib
import gc
import gzip
import io
import ipaddress
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import jinja2
import nbformat
import numpy as np
import psutil
import pytest
import segno
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from nbconvert.exporters import templateexporter
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, websocket_connect
from traitlets.config import Config
from voila import notebook_renderer
from voila.exporter import VoilaExporter
from voila.tornado import kernel_websocket_handler

from kdlab.commands.command_line import main
from kdlab.lab import serving
from kdlab.lab.kernels import FORKED, KernelSpecs
from kdlab.lab.page_files import Copies
from kdlab.lab.pages import CHAPTERS, HOME, notebooks_folder

PAGE = CHAPTERS[0].name


def get(url, headers=None, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}, method=method)) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@pytest.fixture(scope="module")
def server(light_server):
    return light_server


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def command(*arguments):
    """The exit code of ``kdlab`` with these arguments, which start nothing."""
    try:
        return main(arguments)
    except SystemExit as left:
        return left.code


@pytest.fixture(scope="module")
def listening(server):
    """The future of a page's connection that is listened to, beside the tests, until after its first ping."""
    over = threading.Event()

    async def listen():
        (kernel,) = set(re.findall(r'"kernelId": "([^"]+)"', get(server.page(HOME))[1]))
        url = f"ws{server.url[4:]}api/kernels/{kernel}/channels?session_id=a"
        socket = await websocket_connect(url, subprotocols=[serving.PROTOCOL])
        end = IOLoop.current().time() + 31  # the first comes after thirty seconds
        came = asyncio.ensure_future(socket.read_message())
        while IOLoop.current().time() < end and not over.is_set():
            if came in (await asyncio.wait([came], timeout=0.5))[0]:
                assert came.result() is not None
                came = asyncio.ensure_future(socket.read_message())
        assert socket.protocol.is_closing() is False
        socket.close()
        await came
        assert get(f"{server.url}voila/api/shutdown/{kernel}", method="POST")[0] == 204

    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(asyncio.run, listen())
        over.set()


@pytest.mark.usefixtures("listening")  # for the last test of this file not to wait
@pytest.mark.parametrize(
    "path",
    [
        f"voila/files/{PAGE}.ipynb",
        f"files/{PAGE}.ipynb",
        f"{PAGE}.ipynb",
        "voila/tree",
        "voila/api/contents",
        f"voila/api/contents/{PAGE}.ipynb",
        f"api/contents/{PAGE}.ipynb",
        "api/kernels",
        "api/sessions",
        "api/terminals",
        "api/config/notebook",
        "api/status",
        "api/kernelspecs",
        "api/kernels/00000000-0000-0000-0000-000000000000/restart",
        "api/me",
        "metrics",
        "lab",
        "tree",
        f"nbconvert/html/{PAGE}.ipynb",
        "voila/query/00000000-0000-0000-0000-000000000000",
        "voila/execution/00000000-0000-0000-0000-000000000000",
        "voila/api/themes/../../../../../../etc/passwd",
        "voila/labextensions/../../../../../../etc/passwd",
        f"voila/render/exercises/{PAGE}.ipynb",
        f"voila/render/exercises%2F{PAGE}.ipynb",
        f"voila/render/./exercises/../exercises/{PAGE}.ipynb",
        f"voila/render//exercises/{PAGE}.ipynb",
        f"voila/files/exercises/{PAGE}.ipynb",
        "voila/render/../kdlab/commands/command_line.py",
        "voila/render/%2e%2e/pyproject.toml",
        "voila/files/../pyproject.toml",
        "voila/static/../../../../../../etc/passwd",
        "voila/templates/kdlab/../../../../../../etc/passwd",
        "voila/templates/kdlab/static/../../../../../../../etc/passwd",
        "voila/templates/kdlab/static/%2e%2e/%2E%2E/index.html.j2",
        "voila/templates/kdlab/index.html.j2",
        "voila/templates/x",
        "voila/templates/",
    ],
)
def test_nothing_of_the_server_can_be_read(server, path):
    status, body = get(server.url + path)
    assert status in (403, 404)
    assert "cells" not in body
    assert "root:" not in body
    assert "Traceback" not in "".join(server.output)


def test_another_name_for_this_machine_is_turned_away_where_no_token_is_asked_for(server):
    port = server.port
    assert get(server.url, headers={"Host": f"localhost:{port}"})[0] == 200
    for host in (f"evil.example:{port}", "lab.example.org", "192.0.2.7:8443"):
        assert get(server.url, headers={"Host": host})[0] == 403


@pytest.mark.parametrize(
    "path", ["voila/static/voila.js", "voila/templates/kdlab/static/index.css", f"voila/render/{HOME}.ipynb"]
)
def test_text_travels_compressed_to_who_takes_it_and_not_again_to_who_has_it(server, path):
    def ask(**headers):
        return urllib.request.urlopen(urllib.request.Request(f"{server.url}{path}", headers=headers))

    with ask() as plain, ask(**{"Accept-Encoding": "gzip, br"}) as packed:
        text, sent = plain.read(), packed.read()
        assert plain.headers["Content-Encoding"] is None
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
        assert packed.headers["Vary"] == "Accept-Encoding"
        assert len(sent) < 0.7 * len(text)
        if "static" in path:
            assert gzip.decompress(sent) == text
            tags = plain.headers["Etag"], packed.headers["Etag"]
            assert tags[0] != tags[1]
            with pytest.raises(urllib.error.HTTPError) as unchanged:
                ask(**{"Accept-Encoding": "gzip", "If-None-Match": tags[1]})
            assert unchanged.value.code == 304
            unchanged.value.close()
        else:
            assert b"kd-card" in gzip.decompress(sent)


class Connection(serving.ChannelsHandler):
    """A page's connection, without a network: it remembers what becomes of it."""

    settings, log = {}, logging.getLogger("test")
    client_terminated = False

    def __init__(self, silent=0.0, connected=True):
        self.ws_connection = self if connected else None
        self.last_pong, self.became = IOLoop.current().time() - silent, []
        self.last_ping = IOLoop.current().time() - 30

    def ping(self, data):
        self.became.append("asked")

    def close(self):
        self.became.append("closed")


@pytest.mark.parametrize(("silent", "became"), [(0, "asked"), (30.01, "asked"), (61, "asked"), (91, "closed")])
def test_a_page_that_answers_a_little_late_stays_connected(silent, became, run_async):
    async def ping():
        page = Connection(silent)
        page.send_ping()  # every thirty seconds
        return page.became

    assert run_async(ping()) == [became]


def test_pages_that_are_left_while_something_comes_for_them_are_no_news(server, run_async):
    said = [*server.output]

    async def leave():
        (kernel,) = set(re.findall(r'"kernelId": "([^"]+)"', get(server.page(HOME))[1]))
        url = f"ws{server.url[4:]}api/kernels/{kernel}/channels?session_id=a"
        socket = await websocket_connect(url, subprotocols=[serving.PROTOCOL])
        for _ in range(50):
            await socket.write_message(message("kernel_info_request", "shell"), binary=True)
        socket.close()
        assert get(f"{server.url}voila/api/shutdown/{kernel}", method="POST")[0] == 204
        while await socket.read_message() is not None:
            pass

    for _ in range(3):
        run_async(leave())
    assert server.output == said


def test_a_connection_that_closes_is_sent_nothing_and_tornado_does_not_sleep_for_it(monkeypatch, run_async):
    def counted(message):
        raise AssertionError("Voila counts through a message of the older protocol")

    monkeypatch.setattr(kernel_websocket_handler, "read_header_from_binary_message", counted)

    async def closing():
        page = Connection(connected=False)
        page.write_message(b"\x00\x00\x00\x03" + bytes(100), binary=True)
        return page.ping_interval

    assert run_async(closing()) == 0
    assert Connection().ping_interval == 30_000  # milliseconds, which Jupyter takes it for


def test_a_page_that_goes_while_it_is_written_to_is_no_error(monkeypatch, run_async):
    async def gone():
        raise WebSocketClosedError

    complaints, writes = [], lambda page, message, binary: asyncio.ensure_future(gone())
    monkeypatch.setattr(kernel_websocket_handler.VoilaKernelWebsocketHandler, "write_message", writes)

    async def write():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        Connection().write_message("{}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    run_async(write())
    assert complaints == []


def test_a_page_asks_for_no_part_of_the_program_that_another_has_asked_for(server, browser):
    def asked():
        context, scripts = browser.new_context(), []
        try:
            page = context.new_page()
            page.on("request", lambda request: scripts.append(urlsplit(request.url).path.split("/")[-1]))
            page.goto(server.page(PAGE))
            page.wait_for_selector(".noUi-handle", timeout=60_000)
            page.wait_for_load_state("networkidle")
            page.goto("about:blank")
        finally:
            context.close()
        return [name for name in scripts if name.endswith(".js") and not name.startswith("remoteEntry")]

    asked()
    assert asked() == ["voila-style.js", "voila.js"]
    status, program = get(f"{server.url}voila/static/voila.js")  # not compressed
    assert (status, program.count("\n})();\n") > 40) == (200, True)


def test_nothing_is_left_to_compile_for_the_first_visitor(tmp_path, monkeypatch, run_async):
    copies = Copies(tmp_path / "copies")
    app = serving.Dashboards(root_dir=str(notebooks_folder()))
    voila = {"template": "kdlab", "strip_sources": True, "kernel_spec_manager_class": KernelSpecs}
    app.update_config(Config(VoilaConfiguration=voila, Dashboards={"tornado_settings": {"copies": copies}}))
    monkeypatch.setattr(templateexporter, "JINJA_EXTENSIONS", [serving.KeptTemplates])
    monkeypatch.setattr(serving.KeptTemplates.cache, "client", serving.KeptTemplates._Kept())
    app.initialize([])
    app.init_settings()
    run_async(app.prepare())
    assert len([*copies.folder.iterdir()]) == 1

    def unexpected(*_, **options):
        raise AssertionError(f"compiled or compressed: {options}")

    monkeypatch.setattr(jinja2.Environment, "compile", unexpected)
    monkeypatch.setattr(gzip, "compress", unexpected)
    monkeypatch.setattr(contextlib, "suppress", lambda *_: contextlib.nullcontext())
    run_async(app.prepare())  # as a visitor's page would


def pids(server):
    return {process.pid for process in server.kernel_processes()}


URLS = [
    "/",
    "/login",
    "/logout",
    "/api/kernels/ID",
    "/api/kernels/ID/channels",
    "/voila/api/shutdown/(.*)",
    "/voila/api/themes/(.*)",
    "/voila/labextensions/(.*)",
    "/voila/render/(.*)",
    "/voila/static/(.*)",
    "/voila/templates/([^/]+/static/(?!.*(?:\\.\\.|%)).+)",
]


@pytest.mark.parametrize("forked", [True, False])
def test_these_urls_are_served_and_no_other_and_where_kernels_are_not_forked_it_is_said(monkeypatch, capsys, forked):
    apps = []
    monkeypatch.setattr(templateexporter, "JINJA_EXTENSIONS", [])
    for name in ("VoilaExecutor", "VoilaExporter"):
        monkeypatch.setattr(notebook_renderer, name, getattr(notebook_renderer, name))
    for name in ("start_forkserver", "end_kernels", "share_one_heap", "end_on_signals"):
        monkeypatch.setattr(serving, name, lambda *_: None)
    monkeypatch.setattr(serving, "FORKED", forked)
    monkeypatch.setattr(serving.Dashboards, "start", lambda app: apps.append(app))
    serving.serve(port=8951, token="s3cret")
    (app,) = apps
    for bound in app.sockets:
        bound.close()
    app.init_settings()
    patterns = [pattern.replace(r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)", "ID") for pattern, *_ in app.init_handlers()]
    assert sorted(patterns) == sorted(URLS)
    said = capsys.readouterr().out
    assert re.search(r"^Room for \d+ open pages, given the free memory\.$", said, re.MULTILINE)
    assert ("kernel starts from nothing" in said) is not forked


def test_cross_site_posts_are_refused(server):
    # Only leaving a page may go without the cross-site token, and only for a kernel whose id one knows.
    unknown = "00000000-0000-0000-0000-000000000000"
    assert get(server.url + f"api/kernels/{unknown}", method="DELETE")[0] == 403
    assert get(server.url + f"voila/api/shutdown/{unknown}", method="POST")[0] == 404


def test_a_client_of_another_protocol_or_of_a_kernel_that_is_gone_is_answered_in_a_line(server, wait):
    begun = len(server.output)
    kernel = re.search(r'"kernelId": "([^"]+)"', get(server.page(HOME))[1])[1]
    key = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAA"}
    channels = f"{server.url}api/kernels/{kernel}/channels"
    for spoken in ({}, {"Sec-WebSocket-Protocol": "v0.example"}):
        assert get(channels, headers=key | spoken)[0] == 400
    get(f"{server.url}voila/api/shutdown/{kernel}", method="POST")
    assert get(channels, headers=key | {"Sec-WebSocket-Protocol": serving.PROTOCOL})[0] == 404
    assert wait(lambda: any(line.startswith("404 GET /api/kernels") for line in server.output[begun:]), 10)
    assert "Traceback" not in "".join(server.output[begun:])


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_can_lead_to_a_page_but_not_load_it(server, site):
    url, headers = server.page(PAGE), {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    for destination in ("image", "script", "empty", "iframe"):
        assert get(url, headers=headers | {"Sec-Fetch-Dest": destination})[0] == 403
    # What leads to the home page leads on to a page.
    assert get(server.url, headers=headers | {"Sec-Fetch-Dest": "image"})[0] == 403
    assert get(server.page(HOME), headers=headers | {"Sec-Fetch-Dest": "document"})[0] == 200


def test_an_image_of_another_site_starts_no_kernel_and_its_link_works(server, browser, served):
    before = pids(server)
    link = f'<img src="{server.page(PAGE)}"><a href="{server.page(PAGE)}">there</a>'
    (served.folder / "index.html").write_text(link)
    elsewhere = served.url.replace("127.0.0.1", "localhost")  # to the browser that is another site
    context = browser.new_context()
    try:
        page = context.new_page()
        # The browser itself keeps the answer from the image, but has asked; had it been heard, a kernel would run by now.
        with page.expect_event("requestfailed", lambda request: request.url == server.page(PAGE)):
            page.goto(elsewhere)
        assert pids(server) <= before
        page.get_by_role("link", name="there").click()
        page.wait_for_selector(".kdlab-panel", timeout=120_000)
        assert len(pids(server) - before) == 1
        page.close(run_before_unload=True)
    finally:
        context.close()


TOKEN = "a+b 50% & more? ключ#1/2"


@pytest.fixture(scope="module")
def guarded(start_server):
    """A server that asks for a token, whatever is in it, and can be reached from other machines and through a proxy."""
    server = start_server("--port", "8985", "--ip", "0.0.0.0", "--token", TOKEN, "--base-url", "kdlab", light=True)
    yield server
    server.stop()


def test_a_token_is_asked_for(guarded):
    bare = guarded.url.split("?")[0]
    assert bare == f"http://127.0.0.1:{guarded.port}/kdlab/"
    status, page = get(guarded.page(HOME))
    assert (status, "kd-card" in page, "password_input" in page, "new_password" in page) == (200, False, True, False)
    assert get(f"{bare}voila/api/shutdown/{'0' * 8}-0-0-0-0", method="POST")[0] == 403


def test_the_printed_link_works_whatever_the_token_and_so_does_that_for_other_machines(guarded):
    assert "kd-card" in get(guarded.url)[1]
    address = re.search(r"From other machines: (\S+)", "".join(guarded.output))[1]
    ipaddress.ip_address(urlsplit(address).hostname)
    assert "kd-card" in get(address)[1]


@pytest.mark.parametrize("address", ["http://192.0.2.7:8866/?token=a%2Bb", f"http://lab.example.org/{'long/' * 30}"])
def test_a_terminal_shows_the_address_as_a_qr_code_too(monkeypatch, address):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    serving.tell_others(address)
    assert terminal.getvalue() == f"From other machines: {address}\n"
    terminal.isatty = lambda: True
    serving.tell_others(address)
    picture = terminal.getvalue().splitlines()[2:]
    # Dark on a light border, two rows of modules in a line of half blocks.
    halves = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
    rows = [[halves[sign][half] for sign in line] for line in picture for half in (0, 1)]
    modules = np.array([row for row in segno.make(address, micro=False).matrix_iter(border=4)])
    np.testing.assert_array_equal(rows[: len(modules)], modules)


def test_a_reverse_proxy_may_hand_on_any_name_to_a_server_with_a_token(guarded):
    for host in ("lab.example.org", "192.0.2.7:8443"):
        assert_served_below(guarded, "/kdlab/", host, "?" + guarded.url.partition("?")[2])
        status, login = get(guarded.page(HOME), headers={"Host": host})
        assert (status, "password_input" in login) == (200, True)


NGINX = """daemon off; pid {folder}/nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:8952; {ours} }}
}}"""


@pytest.fixture
def nginx(tmp_path):
    """A function that starts nginx in front of a port of this machine, as we recommend it; it returns nginx's port."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("KDLAB_REQUIRE_BROWSER"):
            pytest.fail("no nginx found (Debian: apt-get install nginx-light)")
        pytest.skip("no nginx found")
    started = []

    def start(port):
        ours = (notebooks_folder().parent / "binder" / "nginx.conf").read_text().replace("8866", str(port))
        (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, ours=ours))
        started.append(subprocess.Popen([program, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr"]))
        return 8952

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def test_behind_nginx_a_page_works_and_its_kernel_goes_with_it(guarded, nginx, open_lab_page, wait):
    server, others = guarded, pids(guarded)
    port = nginx(server.port)
    assert wait(lambda: listens(port), 10)
    page = open_lab_page(server.page(PAGE, "?" + server.url.partition("?")[2]).replace(str(server.port), str(port)))
    figure = page.settled("answer").locator("[data-kdlab=figure]").first
    before = int(figure.get_attribute("data-drawn"))
    page.press("answer", "T", "PageUp")
    assert int(figure.get_attribute("data-drawn")) > before
    assert len(pids(server) - others) == 1
    page.page.goto("about:blank")
    assert wait(lambda: pids(server) <= others, 20)
    assert "Traceback" not in "".join(server.output)


def assert_served_below(server, base, host, query=""):
    status, page = get(server.page(HOME, query), headers={"Host": host})
    assert (status, "kd-card" in page, f'"{base}voila/static/voila.js"' in page) == (200, True, True)
    assert get(f"http://127.0.0.1:{server.port}/")[0] == 404


FOREIGN = {
    "Voila": {
        "token": "",
        "ip": "0.0.0.0",
        "port": 8909,
        "base_url": "/theirs/",
        "root_dir": "/",
        "static_root": "/etc",
    },
    "VoilaConfiguration": {
        "template": "lab",
        "strip_sources": False,
        "show_tracebacks": True,
        "kernel_spec_manager_class": "kernels_of_theirs.Specs",
        "multi_kernel_manager_class": "jupyter_server.services.kernels.kernelmanager.AsyncMappingKernelManager",
        "preheat_kernel": True,
    },
    "MappingKernelManager": {"cull_idle_timeout": 1, "allowed_message_types": ["execute_request"]},
    "IdentityProvider": {"token": ""},
    "ServerApp": {"token": "", "ip": "0.0.0.0", "jpserver_extensions": {"jupyterlab": True}},
}


def message(kind, channel, **content):
    """A message of a page as its bytes. A kernel takes none twice."""
    header = {"msg_id": str(uuid.uuid4()), "msg_type": kind, "session": "a", "username": ""}
    whole = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    return serialize_msg_to_ws_v1(whole, channel, lambda part: json.dumps(part).encode())


async def asked(server, channels, channel, file):
    """Ask a kernel to write a file, as no page does, and then what it is; return the first reply's type."""
    url = f"ws{server.url.split('?')[0][4:]}api/kernels/{channels}"
    page = await websocket_connect(url, subprotocols=[serving.PROTOCOL])
    code = f"open({str(file)!r}, 'w').close()"
    for sent in (message("execute_request", channel, code=code, silent=False), message("kernel_info_request", "shell")):
        await page.write_message(sent, binary=True)
    while b"_reply" not in (came := await asyncio.wait_for(page.read_message(), 30)):
        pass
    page.close()
    while await page.read_message() is not None:
        pass
    return re.search(rb"\w+_reply", came)[0].decode()


def test_what_another_voila_is_told_changes_nothing_and_a_killed_server_leaves_no_kernel(
    start_server, tmp_path, run_async
):
    folder, settings, data = tmp_path / "folder", tmp_path / "settings", tmp_path / "data"
    for place in (folder, settings):
        place.mkdir()
    lines = [f"c.{group}.{key} = {value!r}" for group, values in FOREIGN.items() for key, value in values.items()]
    for place, name in [(folder, "voila"), (folder, "jupyter_config"), (settings, "jupyter_server_config")]:
        (place / f"{name}.json").write_text(json.dumps(FOREIGN))
    for place, name in [(settings, "voila"), (settings, "jupyter_config"), (folder, "jupyter_server_config")]:
        (place / f"{name}.py").write_text("\n".join(lines))
    for application, name in [("voila", "kdlab"), ("voila", "lab"), ("voila", "base"), ("nbconvert", "lab")]:
        theirs = data / application / "templates" / name
        theirs.mkdir(parents=True)
        for file in ("index.html.j2", "base.html.j2", "spinner.macro.html.j2", "log.macro.html.j2"):
            (theirs / file).write_text("their template")
        (theirs / "conf.json").write_text(json.dumps({"traitlet_configuration": {"strip_sources": False}}))
    python = data / "kernels" / "python3"
    python.mkdir(parents=True)
    kernel = {"argv": ["their-python", "-f", "{connection_file}"], "display_name": "theirs", "language": "python"}
    (python / "kernel.json").write_text(json.dumps(kernel))
    server = start_server(
        *("--port", "8983", "--token", "s3cret"),
        folder=folder,
        # As outside an environment: the user's folders come before those of this Python.
        environment={
            "JUPYTER_CONFIG_DIR": str(settings),
            "JUPYTER_DATA_DIR": str(data),
            "JUPYTER_PREFER_ENV_PATH": "0",
        },
        light=True,
    )
    listening = [c for c in psutil.Process(server.process.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {tuple(c.laddr) for c in listening} == {("127.0.0.1", server.port)}
    assert "kd-card" not in get(server.page(HOME))[1]  # it asks for the token
    status, page = get(server.page(HOME, "?token=s3cret&template=lab"))
    assert (status, "kd-card" in page, "hl-ipython3" in page, "their template" in page) == (
        200,
        True,
        False,
        False,
    )
    assert get(server.page(HOME).replace("voila/render", "voila/tree") + "?token=s3cret")[0] == 404
    kernel = re.search(r'"kernelId": "([^"]+)"', page)[1]
    for channel in ("shell", "control"):
        assert (
            run_async(
                asked(server, f"{kernel}/channels?token=s3cret&session_id={channel}", channel, tmp_path / "written")
            )
            == "kernel_info_reply"
        )
    assert not (tmp_path / "written").exists()
    assert get(server.page(PAGE, "?token=s3cret"))[0] == 200
    kernels = server.kernel_processes()
    assert len(kernels) == 2  # none was started ahead
    server.process.kill()
    assert psutil.wait_procs(kernels, timeout=10)[1] == []


def test_kernels_run_kdlabs_own_python_in_jupyterlab_too(tmp_path, monkeypatch):
    for name, program in (("python3", "/opt/conda/bin/python"), ("other", "julia")):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(
            json.dumps({"argv": [program, "{connection_file}"], "display_name": name, "language": "python"})
        )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    specs = KernelSpecs()
    assert specs.get_kernel_spec("python3").argv[0] == sys.executable
    assert specs.get_all_specs()["python3"]["spec"]["argv"][0] == sys.executable
    assert specs.get_kernel_spec("other").argv[0] == "julia"


@pytest.mark.parametrize(
    ("asked", "bound_to"), [("localhost", "192.0.2.7"), ("127.0.0.1", "0.0.0.0"), ("my-host", "2001:db8::1")]
)
def test_the_guard_looks_at_what_is_listened_on(monkeypatch, asked, bound_to):
    monkeypatch.setattr(serving, "bound", lambda ip, port: [SimpleNamespace(getsockname=lambda: (bound_to, port))])
    with pytest.raises(ValueError, match=f"--ip {asked} can be reached from other machines"):
        serving.serve(ip=asked)


class Relay:
    """The network between a browser and the server, which can be cut, or keep silent."""

    def __init__(self, port):
        self.server, self.ends, self.state = port, [], "up"
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                ours, _ = self.listening.accept()
                if self.state == "cut":
                    ours.close()
                else:
                    threading.Thread(target=self._connect, args=[ours], daemon=True).start()

    def _connect(self, ours):
        with ours, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server)) as theirs:
            self.ends += [ours, theirs]
            back = threading.Thread(target=self._pass_on, args=(theirs, ours), daemon=True)
            back.start()
            self._pass_on(ours, theirs)
            back.join()

    def _pass_on(self, here, there):
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                while self.state == "silent":
                    time.sleep(0.05)
                there.sendall(data)
        with contextlib.suppress(OSError):
            there.shutdown(socket.SHUT_WR)

    def cut(self):
        self.state = "cut"
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.ends.clear()


@contextlib.contextmanager
def newborn_kernels(server, what):
    """Within the block every kernel that starts has ``what`` ("kill", "suspend") done to it before it answers."""
    known, over = pids(server), threading.Event()

    def look():
        while not over.wait(0.002):
            for kernel in server.kernel_processes():
                if kernel.pid not in known:
                    known.add(kernel.pid)
                    getattr(kernel, what)()

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


# A page looks after its kernel every four seconds, and waits three for an answer.
QUICKER = """{
    const [every, after] = [setInterval, setTimeout];
    window.setInterval = (what, time) => every(what, time === 4000 ? 500 : time);
    window.setTimeout = (what, time) => after(what, time === 3000 ? 1000 : time);
}"""
EXECUTES = """() => document.getElementById("loading_text")?.textContent.includes(" of ")
    || document.querySelector(".kdlab-panel")"""  # where it was too fast to be seen
CONNECTION = "jupyterapp.widgetManager.kernel.connectionStatus"


@pytest.fixture(scope="module")
def impatient(start_server):
    """A server that ends a kernel when nobody has been connected to it for ten seconds."""
    return start_server("--port", "8969", "--cull-after", "10")


@pytest.fixture
def losing(impatient, browser, wait):
    """A page of it over a network that can be cut, how to read what it says, and to press its button; without a traceback."""
    relay, page = Relay(impatient.port), browser.new_page()
    page.add_init_script(QUICKER)
    page.set_default_timeout(120_000)

    def says(what):
        page.wait_for_selector(f'#kd-lost:has-text("{what}")', timeout=10_000)

    def reload(selector=".kdlab-panel"):
        page.get_by_role("button", name="Reload").click(no_wait_after=True)
        page.wait_for_selector(selector)
        assert page.locator("#kd-lost").count() == 0

    yield SimpleNamespace(
        page=page,
        relay=relay,
        says=says,
        reload=reload,
        url=impatient.page(PAGE).replace(f":{impatient.port}", f":{relay.port}"),
    )
    page.goto("about:blank")
    page.close()
    assert wait(lambda: impatient.kernels() == 0, 30)
    relay.listening.shutdown(socket.SHUT_RDWR)  # wakes who waits
    relay.listening.close()
    relay.cut()
    assert "Traceback" not in (said := "".join(impatient.output)), said


def test_a_page_says_that_its_kernel_or_the_network_was_lost_before_it_was_there(impatient, losing, wait):
    page = losing.page
    with newborn_kernels(impatient, "suspend"):
        page.goto(losing.url.replace(PAGE, CHAPTERS[1].name), wait_until="commit")
        page.wait_for_selector("#loading_text")
        losing.relay.state = "silent"
        losing.says("does not respond")
        assert not page.locator("#loading_text").is_visible()
        losing.relay.state = "up"
        page.wait_for_selector("#kd-lost", state="detached", timeout=10_000)
        assert page.locator("#loading_text").is_visible()
    for kernel in impatient.kernel_processes():
        kernel.kill()
    losing.says("has stopped")
    with newborn_kernels(impatient, "kill"):
        page.get_by_role("button", name="Reload").click(no_wait_after=True)
        losing.says("has stopped")
    losing.reload("#loading_text")
    page.wait_for_function(f"({EXECUTES})()", polling=20)
    for kernel in impatient.kernel_processes():
        kernel.kill()
    losing.says("has stopped")
    losing.reload()
    assert impatient.kernels() == 1


def test_a_page_comes_back_to_its_kernel_after_the_network_was_gone_for_long(impatient, losing, wait):
    page = losing.page
    page.goto(losing.url)
    slider = page.wait_for_selector(".kdlab-panel [role=slider]")
    slider.scroll_into_view_if_needed()
    figure = page.wait_for_selector(".kdlab-panel:has([role=slider]) [data-drawn]")
    drawn = int(figure.get_attribute("data-drawn"))
    (kernel,) = impatient.kernel_processes()
    page.evaluate("Math.random = () => 1")  # JupyterLab looks again after half a minute at the latest: then
    losing.relay.cut()
    losing.says("does not respond")
    assert page.evaluate(CONNECTION) == "connecting"
    slider.press("PageUp")
    page.wait_for_timeout(500)
    assert int(figure.get_attribute("data-drawn")) == drawn
    losing.relay.state = "up"
    page.wait_for_selector("#kd-lost", state="detached", timeout=10_000)
    assert wait(lambda: int(figure.get_attribute("data-drawn")) > drawn, 10)  # what was moved meanwhile was kept
    assert impatient.kernel_processes() == [kernel]
    assert page.evaluate(CONNECTION) == "connected"


def test_unconnected_kernels_end_and_a_page_that_lost_its_kernel_or_server_says_so(impatient, losing, browser, wait):
    server, page, other = impatient, losing.page, browser.new_page()
    other.set_default_timeout(120_000)
    page.goto(losing.url.replace(PAGE, CHAPTERS[1].name))
    page.wait_for_selector(".kdlab-panel")
    other.goto(server.page(HOME))
    other.wait_for_selector(".kd-cards")
    assert len(open_pages(server, HOME, HOME)) == 4
    other.close()  # as a browser that crashes, without a word
    assert wait(lambda: server.kernels() == 1, 30)  # by then the page has looked, and found its own
    assert page.locator("#kd-lost").count() == 0
    (kernel,) = server.kernel_processes()
    page.get_by_role("slider", name="T", exact=True).first.press("PageUp")
    page.wait_for_selector("[data-state=computing]")
    kernel.kill()
    losing.says("has stopped")
    losing.reload()
    culled = page.evaluate('JSON.parse(document.getElementById("jupyter-config-data").textContent).kernelId')
    assert get(f"{server.url}voila/api/shutdown/{culled}", method="POST")[0] == 204
    losing.says("has stopped")
    losing.reload()
    psutil.Process(server.process.pid).suspend()
    losing.says("does not respond")
    psutil.Process(server.process.pid).resume()
    page.wait_for_selector("#kd-lost", state="detached", timeout=10_000)
    server.stop()
    losing.says("does not respond")


def open_pages(server, *names):
    """Ask for pages, all at once, as nobody does who stays: each leaves a kernel."""
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(get, map(server.page, names)))
    assert [status for status, _ in answers] == [200] * len(names)
    return server.kernel_processes()


def assert_ends_while_kernels_start(server, seconds, number=signal.SIGINT, others=()):
    """Ask for every chapter, press Ctrl-C so many seconds later, and assert that server and kernels end."""
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(get, server.page(chapter.name)) for chapter in CHAPTERS]
        time.sleep(seconds)
        server.ends_with_its_kernels(number, others)
        for answer in asked:
            assert isinstance(answer.exception(), urllib.error.URLError | OSError | HTTPException | None)


LOSES_IT = """
import signal
from kdlab.commands.command_line import main
from kdlab.lab import serving

async def get(handler, path=None):
    try:
        signal.raise_signal(signal.{number})
    except BaseException:
        pass

serving.PageHandler.get = get
if "{number}" == "SIGTERM":  # once is enough for what is imported only to be killed
    serving.FORKED = False
main(["--no-browser", "--port", "8969"])
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_server_ends_though_what_runs_just_then_drops_every_exception(number):
    command = [sys.executable, "-c", LOSES_IT.format(number=number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            url = next(line.split()[4] for line in process.stdout if "dashboards are at" in line)
            children = psutil.Process(process.pid).children(recursive=True)
            with contextlib.suppress(urllib.error.URLError, OSError, HTTPException):
                get(f"{url}voila/render/{HOME}.ipynb")
            assert process.wait(20) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_server_for_everybody_takes_any_name_and_beyond_the_last_place_a_page_waits_until_somebody_leaves(
    start_server, browser
):
    server = start_server(
        "--port", "8961", "--base-url", "courses/kd", "--allow-anonymous", "--max-kernels", "3", light=True
    )
    assert "Room for 3 open pages." in "".join(server.output)
    with ThreadPoolExecutor() as pool:  # places are counted while kernels start
        answers = list(pool.map(get, [server.page(HOME)] * 8))
    assert sorted(status for status, _ in answers) == [200] * 3 + [503] * 5
    kernel, *others = [re.search(r'"kernelId": "([^"]+)"', page)[1] for status, page in answers if status == 200]
    assert get(f"{server.url}voila/api/shutdown/{kernel}", method="POST")[0] == 204
    first, second = browser.new_context(), browser.new_context()
    try:
        for context in (first, second):
            context.set_default_timeout(120_000)
        page = first.new_page()
        page.goto(server.page(HOME))
        page.wait_for_selector(".kd-cards")
        late = second.new_page()
        late.goto(server.page(PAGE, "?T=4"))
        assert late.title() == "The server is full"
        assert server.kernels() == 3
        page.close(run_before_unload=True)
        late.wait_for_selector(".kdlab-panel")
        assert late.url.endswith("?T=4")
    finally:
        first.close()
        second.close()
    for other in others:
        assert get(f"{server.url}voila/api/shutdown/{other}", method="POST")[0] == 204
    for host in ("lab.example.org", "192.0.2.7:8443"):
        assert_served_below(server, "/courses/kd/", host)
    assert "Traceback" not in "".join(server.output)
    server.stop()


def test_pages_that_come_and_go_leave_nothing_behind_nor_does_a_server_that_ends(start_server, wait):
    with tempfile.TemporaryDirectory() as folder:
        server = start_server("--port", "8955", environment={"TMPDIR": folder}, light=True)
        come_and_go(server, wait, Path(folder))
        assert len(open_pages(server, *[HOME] * 30)) == 30
        assert_ends_while_kernels_start(server, 2)
        assert left_by_kernels(Path(folder)) == []


def test_kernels_that_are_spoken_with_by_ports_leave_nothing_behind_either(start_server, wait):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder, "long/" * 10)  # too long for sockets of files
        folder.mkdir(parents=True)
        server = start_server("--port", "8967", environment={"TMPDIR": str(folder)}, light=True)
        come_and_go(server, wait, folder)
        server.ends_with_its_kernels()
        assert left_by_kernels(folder) == []


def test_thirty_kernels_outlive_what_they_were_forked_from_the_next_one_comes_and_sigterm_ends_all(start_server):
    with tempfile.TemporaryDirectory() as folder:
        server = start_server("--port", "8967", environment={"TMPDIR": folder}, light=True)
        kernels = open_pages(server, *[HOME] * 27, *[PAGE] * 3)
        assert len(kernels) == 30
        if FORKED:
            kernels[-1].parent().kill()
            time.sleep(4)  # by then the server looks whether the kernels are there
            assert all(kernel.is_running() for kernel in kernels)
            assert len(open_pages(server, PAGE)) == 1  # the others are nobody's children now
        assert_ends_while_kernels_start(server, 1.5, signal.SIGTERM, others=kernels)
        assert left_by_kernels(Path(folder)) == []


def left_by_kernels(folder):
    return [path for path in folder.rglob("kernel-*") if path.is_file() or path.is_socket()]


def come_and_go(server, wait, folder):
    process, seen = psutil.Process(server.process.pid), []

    def statuses():
        found = []
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                found.append(child.status())
        return found

    def counts():
        files = len([path for path in folder.rglob("*") if path.is_file() or path.is_socket()])
        return process.num_fds(), process.num_threads(), files, len(statuses())

    for _ in range(6):
        page = get(server.page(HOME))[1]
        kernel = re.search(r'"kernelId": "([^"]+)"', page)[1]
        assert get(f"{server.url}voila/api/shutdown/{kernel}", method="POST")[0] == 204
        assert wait(lambda: server.kernels() == 0 and "zombie" not in statuses(), 20)  # what has ended was waited for
        seen.append(counts())
    # A connection may be closing just then, or a file of the programs' cache be read; what is left behind stays.
    assert wait(lambda: np.all(np.array(counts()) <= seen[3]), 10), [*seen, counts()]


@pytest.mark.filterwarnings("ignore:.*unclosed <socket", "ignore::pytest.PytestUnraisableExceptionWarning")  # Tornado's
def test_other_addresses_need_a_token_or_a_word(capsys):
    assert command("--ip", "0.0.0.0", "--no-browser") == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "--token" in said
    assert "--allow-anonymous" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "abc"], "must be a whole number from 1 to 65535, got 'abc'"),
        (["--port", "70000"], "must be a whole number from 1 to 65535, got 70000"),
        (["--max-kernels", "0"], "must be a whole number of at least 1, got 0"),
        (["--cull-after", "1.5"], "must be a whole number of at least 1, got '1.5'"),
        (["--token", "x", "lab"], "--token and --allow-anonymous are for the dashboards"),
        (["--nonsense"], "unknown arguments: --nonsense"),
        (["--host", "0.0.0.0"], "unknown arguments: --host 0.0.0.0"),
        (["--no-browser", "--address", "here", "lab"], "unknown arguments: --address here"),
        (["labb"], "argument COMMAND: invalid choice: 'labb'"),
        (
            ["--base-url", "https://lab.example.org/kd"],
            "must be a path such as /kdlab/, got 'https://lab.example.org/kd'",
        ),
        (["--base-url", "a//b"], "must be a path such as /kdlab/, got 'a//b'"),
        (
            ["--ip", "203.0.113.7", "--token", "x"],
            "--ip must be an address of this machine, got '203.0.113.7'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*unclosed <socket", "ignore::pytest.PytestUnraisableExceptionWarning")  # Tornado's
def test_bad_options_are_said(arguments, said, capsys):
    assert command(*arguments, "--no-browser") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["lab", "--help"]])
def test_help_everywhere(arguments, capsys):
    assert command(*arguments) == 0
    assert "--no-browser" in capsys.readouterr().out


def page_of(*sources):
    """A notebook of a heading and these cells; one may be a pair of its source and its tag."""
    pairs = [source if isinstance(source, tuple) else (source, "own") for source in sources]
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}) for source, tag in pairs]
    return nbformat.writes(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A page of <my> own"), *cells])
    )


def test_voila_looks_for_its_executor_and_exporter_where_ours_are_put():
    renderer = notebook_renderer.NotebookRenderer
    assert issubclass(serving.Executor, notebook_renderer.VoilaExecutor)
    assert "VoilaExecutor" in renderer._jinja_kernel_start.__code__.co_names
    assert issubclass(serving.Exporter, notebook_renderer.VoilaExporter)
    assert "VoilaExporter" in renderer.initialize.__code__.co_names


def test_prose_is_made_once_and_its_pictures_are_those_of_now(tmp_path):
    made, contents = [], LargeFileManager(root_dir=str(tmp_path))
    ours, voilas = serving.Exporter(contents_manager=contents), VoilaExporter(contents_manager=contents)
    picture = "A picture: ![of two](two.png)"
    for image in (b"one", b"two"):
        (tmp_path / "two.png").write_bytes(image)
        for source in ("**Prose** with $x^2$ and `code`.", picture):
            made.append(ours.markdown2html({"cell": {}}, source))
            assert made[-1] == voilas.markdown2html({"cell": {}}, source)
    assert made[0] is made[2]
    assert made[1] != made[3]


def test_a_taken_port_is_said_and_a_lecturers_own_pages_are_served_beside_the_shipped_ones_or_in_place_of_one(
    start_server, tmp_path, browser
):
    captures = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print('cap' + 'tured')\nout"
    for name in ("my page", PAGE):
        (tmp_path / f"{name}.ipynb").write_text(page_of("open('data.txt').read()", captures))
    tagged = [("print(9 * a)", "skip-execution"), ("0 / 0", "raises-exception")]
    cells = ["a = 6", "", "print(7 * a)", *tagged, "print(1000 * a)", "1 / 0", "print(8 * a)"]
    (tmp_path / "failing.ipynb").write_text(page_of(*cells))
    (tmp_path / "data.txt").write_text("read from the folder of the page")
    marked = ("$x$", "$$x$$", r"\\(x\\)", r"\\[x\\]", r"\begin{equation}x\end{equation}")
    texts = [*(f"formula {k}: {text}" for k, text in enumerate(marked)), "the price: x"]
    cells = [*map(nbformat.v4.new_markdown_cell, texts), nbformat.v4.new_code_cell("'shown'")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "formulas.ipynb")
    (tmp_path / "broken.ipynb").write_text("no <notebook>")
    (tmp_path / "._mine.ipynb").write_bytes(b"\0\5\x16\7")  # as macOS puts beside others on a stick
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "gone.ipynb").symlink_to("nowhere.ipynb")
    with socket.create_server(("127.0.0.1", 8991)):
        server = start_server("--port", "8991", "--notebooks", str(tmp_path), light=True)
    assert "Port 8991 is taken; using 8992, the next free one." in "".join(server.output)
    assert ":8992/" in server.url
    home = re.sub(r"\\u00(26|3c|3e)", lambda code: chr(int(code[1], 16)), get(server.url)[1]).replace('\\"', '"')
    assert f'href="{CHAPTERS[1].name}.ipynb"' in home
    assert re.search(r'href="my%20page.ipynb".*>A page of &lt;my&gt; own</span>', home)
    assert home.count(f'href="{PAGE}.ipynb"') == 2  # the chapter's link and card, no card of another page
    for name in ("my%20page", PAGE):
        page = get(server.page(name))[1]
        assert "read from the folder of the page" in page
        assert "application/vnd.jupyter.widget-view+json" in page
        assert "captured" not in page  # but in the widget
        assert "exception occurred" not in page
    # Every cell's output is where it belongs, in order, up to one that fails.
    failing = get(server.page("failing"))[1]
    assert re.findall(r"<pre>(?:<[^>]*>)*(\d+)\n", failing) == ["42", "6000"]
    assert "There was an error when executing cell" in failing
    assert "48" not in re.findall(r">(\d+)\n", failing)
    assert "Started with --verbose, kdlab shows it here." in failing
    # What is none is not offered, and said to be none.
    assert {name for name in ("._mine", "folder", "gone") if f'href="{name}.ipynb"' in home} == set()
    for name, status, said in (
        ("broken", 400, "This page cannot be shown"),
        ("absent", 404, "There is no such page"),
        ("gone", 404, "There is no such page"),
    ):
        answered, page = get(server.page(name))
        assert answered == status
        assert f"<h1>{said}</h1>" in page
        assert '<a href="/">Home</a>' in page
        assert "http" not in page.partition("<body>")[2]
    assert get(server.url + "voila/render/data.txt")[0] == 404
    # Formulas are set however they are marked.
    page = browser.new_page()
    page.goto(server.page("formulas"))
    for k in range(5):
        page.wait_for_selector(f".kd-text:has-text('formula {k}') mjx-container")
    assert page.locator(".kd-text:has-text('price') mjx-container").count() == 0
    page.close(run_before_unload=True)
    assert_ends_while_kernels_start(server, 0)


def test_a_page_is_still_connected_after_the_first_ping(listening):
    listening.result(120)
