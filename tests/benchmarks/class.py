"""A class at once: `python tests/benchmarks/class.py [--visitors 1,5,15,30] [--within 60] [--soak N] [--quick] [--source DIR]`.

Visitors come to chapter 2 one after the other within a minute, each in a page of its own in a real Chromium, wait for
the first control and the first trained students, move T every six seconds and close the page after a minute; a visitor
alone comes five times. Chromium shares the processors with the server, so that both's processor time is shown. (It should
be `chromium-headless-shell`, which has no windows: the wheels in the tabs of thirty loading pages take most of two
processors.) With `--kinds protocol` they are clients that speak Voila's protocol (page, websocket, widget messages) and
draw nothing.
`--source` serves another checkout. `--soak` lets so many of the latter come, use the page and leave, five at a time, and
shows what they leave behind.

Prints a table; memory is the proportional set size of the server and all its kernels.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import psutil
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from pages import CHAPTERS, FIND, NEW, OLD, WATCH, serving
from playwright.async_api import Error, async_playwright
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.websocket import websocket_connect

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from conftest import FLAGS, LAB_PANELS, find_chromium

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PATIENCE = 180  # seconds until a visitor counts as not served
CONTROL = ".noUi-handle, input[type=range]"
THERE = "selector => document.querySelector(selector)?.checkVisibility()"
# What a page shows whose visitor waited too long.
SHOWN = """() => ({
    panels: document.querySelectorAll(".kdlab-panel").length,
    sliders: document.querySelectorAll(".noUi-handle").length,
    drawn: document.querySelectorAll("[data-kdlab=figure][data-drawn]").length,
    states: [...document.querySelectorAll("[data-kdlab=state] p")].map((p) => `${p.dataset.state} ${p.innerText}`),
    found: globalThis.measured?.isConnected,
    hidden: document.hidden,
    lost: document.querySelector("#kd-lost")?.innerText,
    loading: document.querySelector("#loading_text")?.innerText,
    since: Math.round(performance.now() / 1000),
})"""


async def in_chromium(browser, url, stay, every, where, look):
    """Visit the page; return {"control": s, "students": s, "moves": [s, …]}, as far as it came.

    They move ``every`` so many seconds. ``where`` the students are: the panel, its slider, its picture. ``look`` again after
    so many milliseconds.
    """
    seen, start = {"moves": []}, time.perf_counter()
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    await context.add_init_script(LAB_PANELS + "globalThis.scrollAt = 0;")
    page = await context.new_page()
    try:
        await page.goto(url, timeout=1000 * PATIENCE, wait_until="commit")
        await page.wait_for_function(THERE, arg=CONTROL, polling=look, timeout=1000 * PATIENCE)
        seen["control"] = time.perf_counter() - start
        await page.wait_for_function(FIND, arg=list(where), polling=look, timeout=1000 * PATIENCE)
        seen["students"] = time.perf_counter() - start
        await page.evaluate(WATCH)  # to ask the page about every move would take it as long as the move
        await page.locator("[data-knob]").focus()
        for k in range(stay // every):
            await asyncio.sleep(every)
            await page.keyboard.press("ArrowRight" if k % 2 else "ArrowLeft")
        await page.wait_for_function("keyTimes.length && !globalThis.pressed", polling=look, timeout=60_000)
        seen["moves"] = [milliseconds / 1000 for milliseconds in await page.evaluate("keyTimes")]
    except (Error, TimeoutError) as error:
        seen["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        with contextlib.suppress(Error, TimeoutError):
            seen["error"] += f"; the page shows {await asyncio.wait_for(page.evaluate(SHOWN), 10)}"
    await page.close(run_before_unload=True)
    await asyncio.sleep(1)
    await context.close()
    return seen


def to_bytes(value):
    """Return it as JSON."""
    return json.dumps(value).encode()


class Client:
    """A page's part of the protocol: it asks for the widgets' state, says that a panel is seen, and moves a slider."""

    def __init__(self, socket):
        self.socket, self.session, self.states, self.figures = socket, uuid.uuid4().hex, {}, 0
        self.came = asyncio.Event()
        self.reading = asyncio.ensure_future(self.read())

    async def send(self, kind, content):
        """Send one message of that type to the kernel."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "version": "5.3",
        }
        metadata = {"version": "1.0.0" if content.get("target_name") == "jupyter.widget.control" else "2.1.0"}
        message = {"header": header, "parent_header": {}, "metadata": metadata, "content": content}
        await self.socket.write_message(serialize_msg_to_ws_v1(message, "shell", to_bytes), binary=True)

    async def update(self, model, **state):
        """Set traits of a widget."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        await self.send("comm_msg", {"comm_id": model, "data": data})

    async def read(self):
        """Take in what the kernel sends as it comes; a figure counts."""
        while (message := await self.socket.read_message()) is not None:
            _, (header, _, _, content, *_) = deserialize_msg_from_ws_v1(message)
            kind, content = json.loads(header)["msg_type"], json.loads(content)
            data = content.get("data", {})
            if kind == "comm_msg" and data.get("method") == "update_states":
                self.states = {model: state["state"] for model, state in data["states"].items()}
            elif kind in ("comm_open", "comm_msg"):
                # The first one comes with the panel's new list of what it shows.
                drawn = ["png"] in data.get("buffer_paths", []) or "children" in data.get("state", {})
                self.figures += drawn and kind == "comm_msg"
            self.came.set()

    async def until(self, condition):
        """Wait until the condition holds."""
        while not condition():
            self.came.clear()
            await asyncio.wait(
                [self.reading, asyncio.ensure_future(self.came.wait())],
                timeout=PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self.reading.done():
                raise ConnectionError("the kernel is gone")
            if not self.came.is_set():
                raise TimeoutError("nothing came")


async def by_protocol(url, stay, every):
    """Visit the page without drawing it; return what ``in_chromium`` does."""
    seen, start = {"moves": []}, time.perf_counter()
    try:
        page = (await AsyncHTTPClient().fetch(HTTPRequest(url, request_timeout=PATIENCE))).body.decode()
        (kernel,) = set(re.findall(r'"kernelId": "([^"]+)"', page))
        base = url.split("/voila/")[0]
        channels = f"ws{base[4:]}/api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
        client = Client(await websocket_connect(channels, subprotocols=[PROTOCOL], max_message_size=2**28))
        opening = {"comm_id": uuid.uuid4().hex, "target_name": "jupyter.widget.control", "data": {}}
        await client.send("comm_open", opening)
        await client.send("comm_msg", {"comm_id": opening["comm_id"], "data": {"method": "request_states"}})
        await client.until(lambda: client.states)
        seen["control"] = time.perf_counter() - start
        slider = next(m for m, s in client.states.items() if s.get("_model_name") == "FloatLogSliderModel")
        # The state of the students' panel, the one whose controls end with how far they are trained.
        (trained,) = (m for m, s in client.states.items() if str(s.get("description")).startswith("trained"))
        children = {m: s["children"] for m, s in client.states.items() if "children" in s}
        (controls,) = (m for m, some in children.items() if f"IPY_MODEL_{trained}" in some)
        (shown,) = (some for some in children.values() if f"IPY_MODEL_{controls}" in some)
        named = (child.removeprefix("IPY_MODEL_") for child in shown)
        panel = next(m for m in named if "available" in client.states[m])  # the view that says how much room there is
        await client.update(panel, available=640, ratio=1, visible=True)
        await client.until(lambda: client.figures)
        seen["students"] = time.perf_counter() - start
        for k in range(stay // every):
            await asyncio.sleep(every)
            before, begun = client.figures, time.perf_counter()
            await client.update(slider, value=4.0 * 2 ** (0.125 * (k % 5 + 1)))
            await client.until(lambda before=before: client.figures > before)
            seen["moves"].append(time.perf_counter() - begun)
        client.socket.close()
        address = f"{base}/voila/api/shutdown/{kernel}"
        await AsyncHTTPClient().fetch(HTTPRequest(address, method="POST", body=b""))
    except (HTTPError, OSError, StopIteration, ValueError) as error:  # OSError: TimeoutError too
        seen["error"] = f"{type(error).__name__}: {error}"
    return seen


def processes(pid):
    """Return the process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def memory(server):
    """Return the memory of the server and its kernels, in GB."""
    total = 0
    for process in processes(server.process.pid):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e9


async def watch(server, most):
    """Keep the most memory seen in ``most``, and the processor time of each process."""
    while True:
        most["memory"] = max(most.get("memory", 0), await asyncio.to_thread(memory, server))
        for name, pid in (("server", server.process.pid), ("chromium", os.getpid())):
            for process in processes(pid):
                try:
                    if name == "server" or "chrom" in process.name():
                        times = process.cpu_times()
                        most.setdefault(name, {})[process.pid] = times.user + times.system
                except psutil.Error:
                    continue
        await asyncio.sleep(2)


async def measure(server, visitors, options, browser, where, times):
    """Let so many visitors come; return the row of the table. Without a browser they draw nothing.

    One alone comes several times, as what it sees differs by a fifth from time to time.
    """
    url, most = server.page(CHAPTERS["students"]), {}
    before = {p.pid: sum(p.cpu_times()[:2]) for p in processes(server.process.pid)}
    watching = asyncio.ensure_future(watch(server, most))

    async def come(k):
        await asyncio.sleep(options.within * k / visitors)
        # Looking in every frame, as wait_for_selector does, keeps a processor busy with a dozen pages.
        look = 50 if visitors == 1 else 250
        pace = options.stay, options.every
        return await (in_chromium(browser, url, *pace, where, look) if browser else by_protocol(url, *pace))

    seen = []
    for again in range(times if visitors == 1 else 1):
        if again:
            await asyncio.to_thread(server.wait, lambda: server.kernels() == 0, 10)
        seen += await asyncio.gather(*map(come, range(visitors)))
    watching.cancel()
    await asyncio.to_thread(server.wait, lambda: server.kernels() == 0, 10)
    moves = [move for visit in seen for move in visit["moves"]]
    spent = sum(seconds - before.get(pid, 0) for pid, seconds in most["server"].items())
    for visit in seen:
        if "error" in visit:
            came = {what: round(visit[what]) for what in ("control", "students") if what in visit}
            print(f"not served: {visit['error']}; it had {came}", file=sys.stderr)
    return [
        f"{visitors}{f' in {options.within} s' * (visitors > 1)}, {'Chromium' if browser else 'protocol'}",
        f"{sum('error' not in visit for visit in seen)}",
        *(spread([visit[what] for visit in seen if what in visit]) for what in ("control", "students")),
        spread(moves, 2),
        f"{most['memory']:.1f}",
        f"{spent / len(seen):.1f}",
        f"{sum(most.get('chromium', {}).values()) / len(seen):.1f}" if browser else "–",
        f"{server.kernels()}",
    ]


def spread(values, digits=1):
    """Return "median / p95"."""
    if not values:
        return "–"
    return " / ".join(f"{np.percentile(values, share):.{digits}f}" for share in (50, 95))


def anonymous(process):
    """Return the memory of its own that a process has, in bytes: what it maps of files others may share, or not."""
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])


def left(server, folder):
    """Return what there is without visitors: the row of the soak's table."""
    here, *others = processes(server.process.pid)
    living = [process for process in others if process.status() != psutil.STATUS_ZOMBIE]
    return [
        f"{anonymous(here) / 1e6:.0f}",
        f"{sum(map(anonymous, living)) / 1e6:.0f}",
        f"{len(living)}",
        f"{len(others) - len(living)}",
        f"{here.num_fds()}",
        f"{len(here.net_connections())}",
        f"{here.num_threads()}",
        f"{sum(len(files) for _, _, files in os.walk(folder))}",
    ]


async def soak(options):
    """Let visitors come and leave, five at a time, and print what is there after each fifth of them."""
    print("| visits | not served | the server's own memory, MB | of what kernels are forked from, MB | ", end="")
    print("its other processes | zombies | open files | sockets | threads | temporary files |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        with serving(options.port, Path(options.source).resolve() if options.source else None) as server:
            url, many, failed, visits = server.page(CHAPTERS["students"]), options.soak or 1, 0, 0
            for until in sorted({0, min(20, many), many, *(many * k // 5 for k in range(1, 5))}):
                coming = iter(range(visits, until))

                async def visitor(coming=coming):
                    return ["error" in await by_protocol(url, options.stay, options.every) for _ in coming]

                failed += sum(map(sum, await asyncio.gather(*(visitor() for _ in range(5)))))
                visits = until
                await asyncio.to_thread(server.wait, lambda: server.kernels() == 0, 20)
                await asyncio.sleep(1 if options.quick else 35)  # the server lets go twice a minute of what they left
                print(f"| {visits} | {failed} | {' | '.join(left(server, folder))} |", flush=True)


async def run(options):
    """Measure every number of visitors with a server of its own, and print the table."""
    print(
        "| visitors | served | first control, s, median / p95 | first students, s | a move, s | most memory, GB |",
        end="",
    )
    print(" processor s a visitor | of Chromium | kernels 10 s after |\n|---|---|---|---|---|---|---|---|---|")
    source = Path(options.source).resolve() if options.source else None
    async with async_playwright() as playwright:
        for visitors in options.visitors:
            with serving(options.port, source) as server:
                await asyncio.sleep(options.rest)
                idle = memory(server)
                for kind in options.kinds:
                    browser = None
                    if kind == "chromium":
                        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
                    old = source and not (source / "kdlab/lab/interaction.py").exists()
                    where = (OLD if old else NEW)["students"]
                    times = 1 if options.quick else 5
                    row = await measure(server, visitors, options, browser, where, times)
                    print(f"| {' | '.join(row)} |", flush=True)
                    if browser:
                        await browser.close()
    load = os.getloadavg()[0]
    print(f"\nIdle server {idle:.2f} GB; {len(os.sched_getaffinity(0))} processors, load at the end {load:.0f}.")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=lambda text: [int(n) for n in text.split(",")], default=[1, 5, 15, 30])
    parser.add_argument("--within", type=int, default=60, help="seconds in which they come")
    parser.add_argument("--stay", type=int, default=60, help="seconds that each moves T")
    parser.add_argument("--every", type=int, default=6, help="seconds from one move to the next")
    parser.add_argument("--rest", type=int, default=15, help="seconds before the first comes")
    parser.add_argument(
        "--kinds",
        type=lambda text: text.split(","),
        default=["chromium"],
        metavar="KIND,…",
        help="chromium, protocol (clients that draw nothing), or both",
    )
    parser.add_argument("--soak", type=int, metavar="N", help="visits, in five rows of one after the other")
    parser.add_argument(
        "--quick", action="store_true", help="a visitor in Chromium and a soak of one, for a short while"
    )
    parser.add_argument("--source", help="folder of another checkout, of commit fada1e4 say, to serve")
    parser.add_argument("--port", type=int, default=8949)
    options = parser.parse_args()
    if options.quick:
        options.visitors, options.within, options.stay, options.every, options.rest = [1], 1, 1, 1, 1
        options.kinds = ["chromium"]  # the soak's one visitor is of the other kind
    if options.quick or not options.soak:
        asyncio.run(run(options))
    if options.quick or options.soak:
        asyncio.run(soak(options))


if __name__ == "__main__":
    main()
