"""A page that stays open while its server is started again, has no room, or measures again: in Debian's Chromium."""

from __future__ import annotations

import json
import re
import resource
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest

from fetal_jax.reading.images import write_png
from tests.view.browser import Page
from tests.view.folder import Server, save_rows, serving, write_results
from tests.view.test_browser import stored, version

WIDTH = "document.querySelector('#stage canvas').width"
OTHER = "this page is of another reader or folder: reload it"
TOAST = "text => document.querySelector('#toast').textContent.includes(text)"
DROPPED = "() => !document.querySelector('#progress').textContent.includes('not written yet')"


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 4)
    return tmp_path


def answers(server: Server) -> dict:
    with urlopen(f"{server.address}api/changes") as answer:
        return json.load(answer)["answers"]


@pytest.mark.parametrize("other", ["reader", "role", "folder"])
def test_tab_left_open_records_nothing_for_another_reader_or_folder(browser, home, tmp_path, other):
    blinded = ["--blinded"] if other == "role" else []  # the other way round is refused
    with serving(home / "results", "--reader=Ann", *blinded) as server:
        port = urlsplit(server.address).port
        page = Page(browser, server.address)
        page.choose(0)
        server.kill()
    folder, options = home / "results", ["--reader=Ann"]
    if other == "reader":
        options = ["--reader=Bob"]
    elif other == "folder":
        write_results(tmp_path / "other", 4)
        folder = tmp_path / "other" / "results"
    with serving(folder, *options, f"--port={port}") as server:
        page.until(TOAST, OTHER)
        for key in ("v", "x"):
            with page.page.expect_response("**/api/frames/0/events") as refused:
                page.press(key)
            assert refused.value.status == 412
        page.until(TOAST, OTHER)
        assert answers(server) == {}
        page.until(DROPPED)  # before, the page would ask whether to leave
        page.reload()
        page.choose(0)
        page.press("c")
        page.page.keyboard.type("mine")
        page.press("Escape")
        assert version(server, 0, 1)["answer"]["comment"] == "mine"


def rewrite(home: Path) -> None:
    """Write another picture into the file of the first frame, and what is measured in it."""
    rows = json.loads((home / "results" / "measurements.json").read_text())
    write_png(Path(rows[0]["file"]), np.full((300, 600), 77, np.uint8))
    save_rows(home / "results", [rows[0] | {"ellipse_px": [300, 150, 80, 60, 0], "status": "review"}, *rows[1:]])


def test_frame_that_is_rewritten_while_it_is_shown_is_shown_anew(browser, server, home):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    version(server, 0, 1)
    width = page.page.evaluate(WIDTH)
    rewrite(home)
    page.until("document.querySelector('#accept').getAttribute('aria-pressed') === 'false'")
    assert "to review" in page.page.locator("#row-0 .said").text_content()
    assert page.page.evaluate(WIDTH) > width
    assert page.page.locator("#reason").text_content().startswith("Measured again since you answered: look again.")
    page.press("v")
    page.until("!document.querySelector('#reason').textContent.includes('Measured again')")
    assert version(server, 0, 1)["answer"]["ellipse"] == [300, 150, 80, 60, 0]
    assert server.post("api/export", {})["frames"] == 1


def test_key_for_the_old_picture_of_a_rewritten_file_records_nothing(browser, server, home):
    page = Page(browser, server.address)
    page.choose(0)
    width = page.page.evaluate(WIDTH)
    page.page.route("**/api/changes*", lambda route: route.abort())  # it does not hear of the new measurement
    rewrite(home)
    Page(browser, server.address)  # the server does, from another tab
    page.press("v")
    page.said("Measured again since: nothing was recorded.")
    page.until(f"{WIDTH} > {width}")
    page.press("x")
    assert [e["action"] for e in version(server, 0, 1)["events"]] == ["reject"]
    assert page.errors == [] or all("ERR_FAILED" in e or "409" in e for e in page.errors)


def test_tab_of_a_server_that_counted_frames_otherwise_records_on_no_other_frame(browser, home):
    with serving(home / "results", "--reader=Ann") as server:
        port = urlsplit(server.address).port
        page = Page(browser, server.address)
        page.choose(0)
        name = page.page.locator("#name").text_content()
        server.kill()
    rows = json.loads((home / "results" / "measurements.json").read_text())
    save_rows(home / "results", rows[::-1])
    with serving(home / "results", "--reader=Ann", f"--port={port}") as server:
        with page.page.expect_navigation():  # it is loaded anew
            page.press("v")
        page.ready()
        assert page.page.locator("#row-3 .title").text_content() == name
        page.choose(3)
        page.press("x")
        assert [e["action"] for e in version(server, 3, 1)["events"]] == ["reject"]
        assert [*answers(server)] == ["3"]


@contextmanager
def without_room(server: Server):
    """The server's process can write no byte into a file, as on a full disk."""
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))


def test_full_disk_is_answered_with_the_remedy(server):
    event = {"action": "accept", "after": 0, "answer": stored(server, 0)["answer"] | {"decision": "accepted"}}
    for path in ("api/frames/0/events", "api/export"):
        with without_room(server), pytest.raises(HTTPError) as refused:
            server.post(path, event)
        with refused.value as answer:
            assert answer.code == 507
            assert re.fullmatch(r"cannot be written \(.+\): make room", json.load(answer)["error"])
    assert server.post("api/frames/0/events", event)["version"] == 1


def test_change_on_a_full_disk_is_kept_and_recorded_once_there_is_room(browser, server, home):
    page = Page(browser, server.address)
    page.choose(0)
    with without_room(server):
        page.press("v")
        page.until(TOAST, "make room. Changes are kept here and sent when there is room.")
        assert stored(server, 0)["undo"] == 0
        assert "a change is not written yet" in page.page.locator("#row-0 .said").text_content()
        assert "1 not written yet" in page.page.locator("#progress").text_content()
        assert page.page.locator("#accept").get_attribute("aria-pressed") == "true"
    assert version(server, 0, 1)["answer"]["decision"] == "accepted"
    page.until("document.querySelector('#undo').disabled === false")
    page.until("!document.querySelector('#row-0 .said').textContent.includes('not written')")
    page.until("!document.querySelector('#progress').textContent.includes('not written')")
