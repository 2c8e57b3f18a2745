"""Keys that are pressed before the server has answered, and a page whose server is away."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from tests.view.browser import PATIENCE, Page
from tests.view.folder import serving, write_examinations, write_results
from tests.view.test_browser import actions, eventually, stored, version

PRESS = "keys => keys.forEach(key => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))"
WHOLE = "e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight + 1"
CHOSEN = "document.querySelector('#list [aria-selected=true] .title').textContent"
SHOWN = "document.querySelector('#name').textContent"
NEXT_IS_HERE = """(() => {
    const place = Number(document.querySelector('#rows [aria-selected=true]').ariaPosInSet) + 1;
    const next = document.querySelector(`#rows [aria-posinset="${place}"]`).dataset.n;
    const here = performance.getEntriesByType('resource').filter(e => e.responseEnd).map(e => new URL(e.name).pathname);
    return [`/api/frames/${next}`, `/api/frames/${next}/image`].every(path => here.includes(path));
})()"""


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 20, column_mm=1.1)
    return tmp_path


def at_once(page: Page, *keys: str) -> None:
    """Press keys in one turn of the page: no answer of the server comes between them."""
    page.page.evaluate(PRESS, list(keys))


def test_accept_after_undo_accepts_what_undo_brought_back(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    before = stored(server, 0)["answer"]["ellipse"]
    page.drag("centre", 30, 10)
    page.answered(1)
    at_once(page, "u", "v")
    eventually(lambda: actions(server, 0), ["move", "undo", "accept"])
    state = stored(server, 0)
    assert (state["answer"]["ellipse"], state["answer"]["decision"]) == (before, "accepted")
    page.until("document.querySelector('#redo').disabled")
    at_once(page, "u", "u", "u", "y", "y")  # there is one to undo: the accept
    eventually(lambda: actions(server, 0)[3:], ["undo", "redo"])
    assert page.errors == []


def test_key_for_a_frame_that_is_not_shown_yet_changes_none(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    at_once(page, "v", "ArrowRight", "v")
    page.said("nothing was changed")
    beside = page.number()
    assert beside != 0
    page.press("x")
    eventually(lambda: actions(server, beside), ["reject"])
    page.choose(0)
    page.press("x")
    eventually(lambda: actions(server, 0), ["accept", "reject"])
    assert page.errors == []


def test_next_pressed_twice_goes_two_frames_on(browser, server):
    page = Page(browser, server.address)
    titles = page.page.evaluate(
        "[...document.querySelectorAll('#rows .row')].sort((p, q) => p.ariaPosInSet - q.ariaPosInSet)"
        ".map(r => r.querySelector('.title').textContent)"
    )
    at_once(page, "ArrowRight", "ArrowRight")
    page.until(f"{SHOWN} === {titles[2]!r}")
    at_once(page, "v", "n")  # the frame itself is none without a decision
    page.until(f"{SHOWN} === {titles[3]!r}")


def test_accept_while_an_arrow_is_held_keeps_what_the_arrow_moved(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    before = stored(server, 0)["answer"]["ellipse"]
    page.press("1")
    for key in ("ArrowRight", "ArrowRight", "v"):
        page.page.keyboard.down(key)
    page.page.keyboard.up("ArrowRight")
    eventually(lambda: actions(server, 0), ["move", "accept"])
    state = stored(server, 0)["answer"]
    assert state["decision"] == "accepted"
    assert state["ellipse"] == pytest.approx([before[0] + 2, *before[1:]])


def test_second_press_does_not_overwrite_another_tab(browser, server):
    one, two = Page(browser, server.address), Page(browser, server.address)
    for page in (one, two):
        page.choose(0)
    two.page.route("**/api/changes*", lambda route: route.abort())  # it does not hear of the first tab's change
    one.drag("centre", 20, 20)
    moved = version(server, 0, 1)["answer"]
    two.said("does not answer")
    at_once(two, "v", "x")
    two.said("does not answer", "another tab")  # neither hides the other
    two.press("x")
    eventually(lambda: actions(server, 0), ["move", "reject"])
    assert stored(server, 0)["answer"] == moved | {"decision": "rejected"}


def test_what_is_chosen_is_what_is_shown_while_the_server_is_away(browser, home):
    with serving(home / "results", "--reader=Ann") as server:
        port = urlsplit(server.address).port
        page = Page(browser, server.address)
        first = page.page.evaluate(SHOWN)
        page.until(NEXT_IS_HERE)
        server.kill()
        page.press("ArrowRight")  # its picture may still be decoded
        page.until(f"{SHOWN} !== {first!r}")
        for _ in range(12):
            page.press("ArrowRight")
            page.page.wait_for_timeout(50)
        page.until(f"{SHOWN} === {CHOSEN}")
        last = page.page.evaluate(SHOWN)
        assert last != first
        at_once(page, "v")
        page.until("document.querySelector('#status').textContent === 'Accepted'")
        with page.page.expect_event("dialog") as asked:
            page.page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"
    with serving(home / "results", "--reader=Ann", f"--port={port}") as server:
        n = int(page.page.evaluate("document.querySelector('#list [aria-selected=true]').dataset.n"))
        eventually(lambda: actions(server, n), ["accept"])
        page.press("ArrowRight")
        page.until(f"{SHOWN} !== {last!r} && {SHOWN} === {CHOSEN}")


def test_comment_is_kept_where_the_page_is_left_at_once(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("c")
    page.page.keyboard.type("at once")
    page.reload()
    eventually(lambda: stored(server, 0)["answer"]["comment"], "at once")


def test_numbers_of_another_examination_are_not_shown(browser, tmp_path):
    write_examinations(tmp_path, 3)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        numbers = page.page.locator("#brief .sizes")
        numbers.wait_for(state="visible")
        aborted: list[None] = []
        page.page.route("**/api/examinations/*", lambda route: (aborted.append(None), route.abort()))
        page.choose(5)
        assert not numbers.is_visible()
        page.press("s")
        assert not page.page.locator("#exam-values").is_visible()
        assert not page.page.locator("#exam-name").is_visible()
        end = time.monotonic() + PATIENCE
        while len(aborted) < 3 and time.monotonic() < end:  # the frame, the key, and then the page asks again
            page.page.wait_for_timeout(20)
        assert len(aborted) >= 3
        page.page.unroute("**/api/examinations/*")
        page.page.locator("#exam-values").wait_for(state="visible")
        assert page.page.locator("#exam-name").text_content() == "visit-1"


@pytest.mark.parametrize("width", [390, 820, 1000, 1440])
def test_notice_and_reader_are_seen_whole_at_any_width(browser, server, width):
    page = Page(browser, server.address, width, 900)
    for name in ("#notice", "#who", "#progress"):
        assert page.page.locator(name).is_visible()
        assert page.page.locator(name).evaluate(WHOLE)
    page.press("?")
    assert page.page.locator("#help kbd").first.is_visible()
    assert page.page.evaluate("document.querySelector('#help').scrollTop") == 0
