"""The server: what it refuses, what it says, and that it leaves nothing behind."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from kdlab.lab.pages import CHAPTERS, HOME

PAGE = CHAPTERS[0].name


def get(url, headers=None, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}, method=method)) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kdlab.commands.command_line", *arguments], capture_output=True, text=True, timeout=60
    )


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
        "voila/render/../kdlab/commands/command_line.py",
        "voila/render/%2e%2e/pyproject.toml",
        "voila/files/../pyproject.toml",
        "voila/static/../../../../../../etc/passwd",
        "voila/templates/kdlab/../../../../../../etc/passwd",
    ],
)
def test_nothing_of_the_server_can_be_read(server, path):
    status, body = get(server.url + path)
    assert status in (403, 404, 500)  # Voila answers 500 where a template's path leaves its folder
    assert "cells" not in body
    assert "root:" not in body


def test_another_sites_name_for_this_machine_is_turned_away(server):
    port = urlsplit(server.url).port
    assert get(server.url, headers={"Host": f"localhost:{port}"})[0] == 200
    assert get(server.url, headers={"Host": f"evil.example:{port}"})[0] == 403


def test_cross_site_posts_are_refused(server):
    # Only leaving a page may go without the cross-site token, and only for a kernel whose id one knows.
    unknown = "00000000-0000-0000-0000-000000000000"
    assert get(server.url + f"api/kernels/{unknown}", method="DELETE")[0] == 403
    assert get(server.url + f"voila/api/shutdown/{unknown}", method="POST")[0] == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_can_lead_to_a_page_but_not_load_it(server, site):
    url, headers = server.page(PAGE), {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    for destination in ("image", "script", "empty", "iframe"):
        assert get(url, headers=headers | {"Sec-Fetch-Dest": destination})[0] == 403
    # What leads to the home page leads on to a page.
    assert get(server.url, headers=headers | {"Sec-Fetch-Dest": "image"})[0] == 403
    assert get(server.page(HOME), headers=headers | {"Sec-Fetch-Dest": "document"})[0] == 200


def test_an_image_of_another_site_starts_no_kernel_and_its_link_works(start_server, browser, served):
    server = start_server("--port", "8987", "--pool", "0")
    link = f'<img src="{server.page(PAGE)}"><a href="{server.page(PAGE)}">there</a>'
    (served.folder / "index.html").write_text(link)
    elsewhere = served.url.replace("127.0.0.1", "localhost")  # to the browser that is another site
    context = browser.new_context()
    try:
        page = context.new_page()
        # The browser itself keeps the answer from the image, but has asked; had it been heard, a kernel would run by now.
        with page.expect_event("requestfailed", lambda request: request.url == server.page(PAGE)):
            page.goto(elsewhere)
        assert server.kernels() == 0
        page.get_by_role("link", name="there").click()
        page.wait_for_selector(".kd-panel", timeout=60_000)
        assert server.kernels() == 1
        page.close(run_before_unload=True)
    finally:
        context.close()


def test_a_token_is_asked_for(start_server):
    server = start_server("--port", "8985", "--pool", "0", "--token", "s3cret-token")
    bare = server.url.split("?")[0]
    assert server.url.endswith("?token=s3cret-token")
    assert get(f"{bare}voila/render/{HOME}.ipynb")[1].count("kd-card") == 0
    status, body = get(f"{bare}voila/render/{HOME}.ipynb?token=s3cret-token")
    assert status == 200
    assert "kd-card" in body
    assert get(f"{bare}voila/api/shutdown/{'0' * 8}-0-0-0-0", method="POST")[0] == 403


def test_a_taken_port_is_said_plainly(start_server):
    with socket.create_server(("127.0.0.1", 8991)):
        server = start_server("--port", "8991", "--pool", "0")
    assert "Port 8991 is taken; using 8992, the next free one." in "".join(server.output)
    assert ":8992/" in server.url


@pytest.mark.parametrize("seconds", [0, 1.5, 5])
def test_ctrl_c_ends_server_and_kernels_even_while_they_start(start_server, seconds):
    server = start_server("--port", "8995")
    assert server.wait(lambda: server.kernels() >= 1, 120)
    time.sleep(seconds)
    server.ends_with_its_kernels()


def test_other_addresses_need_a_token_or_a_word():
    result = command("--ip", "0.0.0.0", "--no-browser")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "--token" in result.stderr
    assert "--allow-anonymous" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "abc"], "must be a whole number from 1 to 65535, got 'abc'"),
        (["--port", "70000"], "must be a whole number from 1 to 65535, got '70000'"),
        (["--pool", "-1"], "must be a whole number of at least 0, got '-1'"),
        (["--token", "x", "lab"], "--token and --allow-anonymous are of the dashboards"),
        (["--nonsense"], "unknown arguments: --nonsense"),
        (
            ["--ip", "203.0.113.7", "--token", "x"],
            "--ip must be an address of this machine, got '203.0.113.7'",
        ),
    ],
)
def test_bad_options_are_said(arguments, said):
    result = command(*arguments, "--no-browser")
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["lab", "--help"]])
def test_help_everywhere(arguments):
    result = command(*arguments)
    assert result.returncode == 0
    assert "--no-browser" in result.stdout


def test_lab_serves_the_notebooks(wait):
    process = subprocess.Popen(
        [sys.executable, "-m", "kdlab.commands.command_line", "lab", "--no-browser", "--port", "8997", "--allow-root"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        found = None
        for line in process.stdout:
            found = re.search(r"(http://127\S+)\?token=(\w+)", line)
            if found:
                break
        base, token = found.groups()
        assert wait(lambda: listens(8997), 20)
        listing = json.loads(get(base.replace("/lab", "/api/contents"), {"Authorization": f"token {token}"})[1])
        assert f"{PAGE}.ipynb" in [entry["name"] for entry in listing["content"]]
    finally:
        process.kill()
        process.communicate()
