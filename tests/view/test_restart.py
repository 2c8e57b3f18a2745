"""A page that stays open while its server is started again: in Debian's Chromium."""

from __future__ import annotations

import json
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.view.browser import Page
from tests.view.folder import Server, serving, write_results
from tests.view.test_browser import version

OTHER = "this page is of another reader or folder: reload it"
TOAST = "text => document.querySelector('#toast').textContent.includes(text)"


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 4)
    return tmp_path


def answers(server: Server) -> dict:
    with urlopen(f"{server.address}api/changes") as answer:
        return json.load(answer)["answers"]


@pytest.mark.parametrize("other", ["reader", "role", "folder"])
def test_tab_left_open_records_nothing_for_another_reader_or_folder(browser, home, tmp_path, other):
    with serving(home / "results", "--reader=Ann") as server:
        port = urlsplit(server.address).port
        page = Page(browser, server.address)
        page.choose(0)
        server.kill()
    folder, options = home / "results", ["--reader=Ann"]
    if other == "reader":
        options = ["--reader=Bob"]
    elif other == "role":
        options.append("--blinded")
    else:
        write_results(tmp_path / "other", 4)
        folder = tmp_path / "other" / "results"
    with serving(folder, *options, f"--port={port}") as server:
        page.until(TOAST, OTHER)
        page.press("v")
        with page.page.expect_response("**/api/frames/0/events") as refused:
            page.press("x")
        assert refused.value.status == 412
        page.until(TOAST, OTHER)
        assert answers(server) == {}
        page.reload()
        page.choose(0)
        page.press("c")
        page.page.keyboard.type("mine")
        page.press("Escape")
        assert version(server, 0, 1)["answer"]["comment"] == "mine"
