"""A real server and a real Chromium. Without one the tests skip, unless KDLAB_REQUIRE_BROWSER says they must not."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import matplotlib
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe

from kdlab.lab.pages import CHAPTERS, HOME

NARROW = "STIXGeneral"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium():
    # The first is the same without a window of its own. Its wheel turns in every tab that still loads, also when nobody
    # sees it, and that takes a third of a processor.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("KDLAB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Server:
    """`kdlab` as a process, with the URL it prints."""

    def __init__(self, *arguments, folder=None, environment=None):
        command = [sys.executable, "-m", "kdlab.commands.command_line", "--no-browser", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        # A shell starts what is to run behind it with Ctrl-C ignored, and children inherit that.
        self.process = subprocess.Popen(
            command,
            **pipes,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.output = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait(lambda: self.url is not None or self.process.poll() is not None, 90)
        assert self.url, f"the server did not start: {self.output}"
        # The line comes before the socket listens.
        self.wait(self._listens, 20)

    def _read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                self.output.append(line)

    def _listens(self):
        return any(c.status == psutil.CONN_LISTEN for c in psutil.Process(self.process.pid).net_connections("tcp"))

    @property
    def url(self):
        found = re.search(r"dashboards are at (\S+)", "".join(self.output))
        return found and found[1]

    @property
    def port(self):
        return urlsplit(self.url).port

    def page(self, name, query=""):
        return f"{self.url.split('?')[0]}voila/render/{name}.ipynb{query}"

    def kernels(self):
        return len(self.kernel_processes())

    def kernel_processes(self):
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if _leads_a_session(child)]

    @staticmethod
    def wait(condition, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.2)  # to look through all processes takes a while
        return False

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()

    def ends_with_its_kernels(self, number=signal.SIGINT, others=()):
        """Press Ctrl-C, and assert that nothing is left running and nothing was complained about."""
        children = [*psutil.Process(self.process.pid).children(recursive=True), *others]
        self.stop(number)
        assert self.process.returncode in (0, -signal.SIGINT), self.output
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        assert "Traceback" not in "".join(self.output)


def _leads_a_session(process):
    """Whether it is a kernel: the others have the server's own session."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and os.getsid(process.pid) == process.pid
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def wait():
    """The function that waits until a condition holds, and says whether it came to."""
    return Server.wait


# In place of what kernels are forked from: it has imported what the first two pages need, and no TensorFlow.
LIGHT = """
import importlib.abc, importlib.machinery, sys

class Light(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == "kdlab.lab.preload" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        import ipykernel.kernelapp, ipywidgets, anywidget, matplotlib.backends.backend_agg
        import kdlab.lab.interaction, kdlab.lab.pages
        import kdlab
        kdlab.load("digits")

sys.meta_path.insert(0, Light())
"""


@pytest.fixture(scope="session")
def light(tmp_path_factory):
    """What to add to the environment of a server whose pages compute nothing: it imports several seconds less."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "sitecustomize.py").write_text(LIGHT)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


@pytest.fixture(scope="session")
def start_server(light):
    """Return a function that starts `kdlab` with these arguments; a ``light`` one is for pages that compute nothing."""
    servers, ours = [], light

    def start(*arguments, environment=None, light=False, **options):
        servers.append(Server(*arguments, environment={**(ours if light else {}), **(environment or {})}, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server, worker_id):
    """A server whose kernels start when a page is opened: none is started ahead of nobody."""
    return start_server("--port", _port(worker_id, 1))


@pytest.fixture(scope="session")
def light_server(start_server, worker_id):
    """`server` for the home page and chapter 1, which compute nothing that needs TensorFlow."""
    return start_server("--port", _port(worker_id, 4), light=True)


def _port(worker_id, k):
    return f"897{k + int(worker_id.removeprefix('gw') if worker_id != 'master' else 0)}"


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    """Chromium with a profile on disk: what pages load is loaded and compiled once.

    Its fonts are matplotlib's on every machine: DejaVu, wide ones, and STIX where a page asks for it.
    """
    path = find_chromium()
    if path is None:
        reason = (
            "no Chromium found (Debian: apt-get install chromium-headless-shell; or set KDLAB_CHROMIUM to its path)"
        )
        if os.environ.get("KDLAB_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("chromium")
    (folder / "fonts.conf").write_text(
        f"""<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
        <fontconfig><dir>{matplotlib.get_data_path()}/fonts/ttf</dir><cachedir>{folder}</cachedir>
        <selectfont><rejectfont><glob>*</glob></rejectfont><acceptfont><glob>*/DejaVu*</glob>
        <glob>*/{NARROW}*</glob></acceptfont></selectfont>
        <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
        <match><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
        </fontconfig>"""
    )
    environment = {**os.environ, "FONTCONFIG_FILE": str(folder / "fonts.conf")}
    with sync_playwright() as playwright:
        start = playwright.chromium.launch_persistent_context
        context = start(folder / "profile", executable_path=path, args=FLAGS, env=environment)
        yield context
        context.close()


@pytest.fixture(scope="session")
def browser(profile):
    """The same Chromium, for contexts that share nothing."""
    return profile.browser


# Panels of `lab.interact` by the name of their function, which is in the code behind them; whether one is at rest.
LAB_PANELS = """(() => {
    const since = new Map();
    const named = (name) => {
        const code = [...document.querySelectorAll(".kd-code")].find(e => e.textContent.match(`interact\\\\(${name}\\\\b`));
        return code?.previousElementSibling.querySelector(".kdlab-panel");
    };
    window.labPanel = named;
    window.labAtRest = (name) => {
        const panel = named(name);
        const begun = !panel?.querySelector(".kdlab-empty") && panel?.querySelector("[data-kdlab=state] p");
        if (!begun || begun.dataset.state !== "idle") since.delete(name);
        else if (!since.has(name)) since.set(name, performance.now());
        else if (performance.now() - since.get(name) > 100) {
            since.delete(name);
            return true;
        }
        return false;
    };
    // Whether the kernel has taken up all that the page had for it, and has said what it begins therefore. In two frames
    // the page notices what is on the screen; what a widget keeps back until the kernel is free goes before the second
    // question.
    window.labTakenUp = async () => {
        for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
        for (const _ of [1, 2]) await jupyterapp.widgetManager.kernel.requestKernelInfo();
        return true;
    };
})();"""


class LabPage:
    """A page of `lab.interact` panels."""

    def __init__(self, page):
        self.page = page

    def panel(self, name):
        """The panel of the function ``name``, brought on the screen."""
        found = self.page.wait_for_function("name => labPanel(name)", arg=name, polling=50, timeout=60_000).as_element()
        found.evaluate("(panel, name) => panel.dataset.test = name", name)
        panel = self.page.locator(f'[data-test="{name}"]')
        panel.scroll_into_view_if_needed()
        return panel

    def settled(self, name):
        """The panel, when the kernel has done all that it was asked for."""
        panel = self.panel(name)
        self.page.wait_for_function("() => labTakenUp()", timeout=120_000)
        self.page.wait_for_function("name => labAtRest(name)", arg=name, polling=50, timeout=120_000)
        return panel

    def press(self, name, control, *keys):
        """Press keys on a slider and wait for what they come to; return its value, in a logarithmic one the exponent.

        The browser says it to one decimal, and steps are eighths.
        """
        handle = self.panel(name).get_by_role("slider", name=control, exact=True)
        handle.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.settled(name)
        return round(8 * float(handle.get_attribute("aria-valuenow"))) / 8

    def words(self, name):
        """The words that a panel shows of its figures and otherwise."""
        panel = self.settled(name)
        alts = panel.locator("[data-kdlab=figure] img").evaluate_all("all => all.map(e => e.alt)")
        return "\n".join([*alts, *panel.locator(".kdlab-result .widget-html-content").all_inner_texts()])

    def says(self, name, text):
        """Wait until a panel says ``text`` in its words."""
        if not Server.wait(lambda: text in self.words(name), 30):
            assert text in self.words(name)
        return True

    def said(self, name):
        """What stands beside the controls of a panel."""
        return self.panel(name).locator("[data-kdlab=state] p").inner_text()


class Pages:
    """Opened pages, and the errors that they logged."""

    def __init__(self, profile):
        self.profile, self.opened, self.problems = profile, [], []

    def open(self, url, selector=".kdlab-panel", width=1280, height=900, script=""):
        page = self.profile.new_page()
        self.opened.append(page)
        self.forget(page, url)
        page.set_viewport_size({"width": width, "height": height})
        page.add_init_script(LAB_PANELS + script)
        page.on("console", self.note)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url, timeout=120_000)
        page.wait_for_selector(selector, timeout=120_000)
        return page

    def note(self, message):
        """Keep an error that a page logs, unless a page that is being left asks for the kernel that went with it."""
        what = f"{message.text} {message.location['url']}"
        if message.type == "error" and not re.search(r"404 .*/api/kernels/[0-9a-f-]{36}$", what):
            self.problems.append(what)

    def forget(self, page, url):
        """Have the profile keep nothing of an origin but what it has loaded from there."""
        parts = urlsplit(url)
        kept = {"origin": f"{parts.scheme}://{parts.netloc}", "storageTypes": "cookies,local_storage,indexeddb"}
        self.profile.new_cdp_session(page).send("Storage.clearDataForOrigin", kept)

    def close(self):
        for page in self.opened:
            if not page.is_closed():
                with page.expect_event("close"):
                    page.close(run_before_unload=True)
        assert self.problems == []


@pytest.fixture
def open_page(profile):
    """Return a function that opens a URL and waits for `selector`; at the end no page may have logged an error."""
    pages = Pages(profile)
    yield pages.open
    pages.close()


@pytest.fixture
def open_lab_page(open_page):
    """Return a function that opens a URL whose page has `lab.interact` panels."""

    def open_(url, **options):
        return LabPage(open_page(url, ".kdlab-panel [data-kdlab=state] p", **options))

    return open_


@pytest.fixture(scope="module")
def open_module_page(profile):
    """`open_page` for pages that the tests of a file share."""
    pages = Pages(profile)
    yield pages.open
    pages.close()


@pytest.fixture(scope="module")
def module_lab_page(open_module_page, server, request):
    """The chapter NAME of a test file, opened once, at its address QUERY; at the end it may have logged no error."""
    url = server.page(request.module.NAME, getattr(request.module, "QUERY", ""))
    return LabPage(open_module_page(url, ".kdlab-panel [data-kdlab=state] p"))


@pytest.fixture
def lab_page(module_lab_page):
    """The module's page, wide, with nothing unfolded; where the sliders stand is what the test before left."""
    module_lab_page.page.set_viewport_size({"width": 1280, "height": 900})
    close = "for (const details of document.querySelectorAll('details[open]')) details.open = false"
    module_lab_page.page.evaluate(close)
    return module_lab_page


# All text in narrower letters, but for formulas and icons, which bring their own.
NARROWER = f"""*:not(mjx-container *, [class*=fa-]), *:not(mjx-container *, [class*=fa-])::before {{
    font-family: {NARROW} !important; }}"""
# What a reader may set without losing anything (WCAG 2.2, 1.4.12).
SPACED = """* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
p { line-height: 1.5 !important; margin-bottom: 2em !important; }"""
# What axe looks at that depends on how wide letters are.
OF_LAYOUT = {"runOnly": {"type": "rule", "values": ["scrollable-region-focusable"]}}


CUT_OFF = """() => [...document.querySelectorAll('#rendered_cells *, .kdlab-panel *')].filter(e => {
    const box = e.getBoundingClientRect();
    const scrolls = e.closest('mjx-container, .kd-code, .kd-wide, .kdlab-hidden, .kdlab-scroll, pre');
    return box.width > 0 && !scrolls && (box.right > innerWidth + 1 || box.left < -1);
}).map(e => e.outerHTML.slice(0, 120))"""


def assert_fits(page, *which):
    """Assert that nothing is cut off, once the page has come to rest; ``which`` says what it is like."""
    page.wait_for_timeout(300)
    assert page.evaluate(CUT_OFF) == [], which


def assert_is_accessible(page, **options):
    """Assert that axe finds nothing; ``options`` are its own. What passes is only counted: to list it takes longest."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    found = [v for v in found if v["impact"] in ("critical", "serious")]
    assert {v["id"]: [n["html"][:160] for n in v["nodes"]][:3] for v in found} == {}


@pytest.fixture(scope="session")
def fits_and_is_accessible():
    """Return a function that asserts of a page that nothing is cut off, wide or narrow, and that axe finds nothing."""

    def check(page, height=900, options=None):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": height})
            assert_fits(page, width)
        assert_is_accessible(page, **(options or {}))

    return check


LINKS = "navs => navs.map(nav => [...nav.querySelectorAll('a')].map(e => [e.className, e.pathname.split('/').pop()]))"


def assert_leads_to_its_neighbours(page):
    """Assert that the links above and below a page are to those before and after it, and that its title is its own."""
    names = [HOME, *(chapter.name for chapter in CHAPTERS)]
    at = names.index(urlsplit(page.url).path.split("/")[-1].removesuffix(".ipynb"))
    links = (
        [["kd-prev", at - 1]] * (at > 1) + [["kd-home", 0]] * (at > 0) + [["kd-next", at + 1]] * (at < len(CHAPTERS))
    )
    links = [[kind, f"{names[place]}.ipynb"] for kind, place in links]
    assert page.locator(".kd-nav").evaluate_all(LINKS) == [links] * (2 if at else 1)
    assert at == 0 or CHAPTERS[at - 1].title in page.inner_text("h1")


@pytest.fixture(scope="session")
def keeps_the_promises_of_every_page():
    """Return a function that asserts of a page: no source, no traceback, it fits and is accessible in any letters."""

    def check(page):
        text = page.inner_text("body")
        assert "Traceback" not in text
        assert "from kdlab" not in text
        assert page.locator(".jp-InputArea-editor, .cm-editor").count() == 0
        assert page.locator("h1").count() == 1
        assert_leads_to_its_neighbours(page)
        ids = page.locator("[id]").evaluate_all("all => all.map(e => e.id)")
        assert len(ids) == len(set(ids))
        for width in (1280, 390):  # for each, what is seen is drawn anew
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page, width)
            if width == 390:
                assert_is_accessible(page)
            for css in (SPACED, NARROWER):
                wide = page.locator("h1").evaluate(TEXT_WIDTH)
                style = page.add_style_tag(content=css)
                changed = page.locator("h1").evaluate(TEXT_WIDTH) / wide
                assert changed > 1.1 if css == SPACED else changed < 0.9
                assert_fits(page, width, css)
                if width == 390:
                    assert_is_accessible(page, **OF_LAYOUT)
                style.evaluate("e => e.remove()")

    return check


# Of a heading, as wide as its letters make it.
TEXT_WIDTH = """e => {
    const copy = document.body.appendChild(e.cloneNode(true));
    copy.style.cssText = "position: absolute; white-space: nowrap; width: max-content";
    const { width } = copy.getBoundingClientRect();
    copy.remove();
    return width;
}"""
