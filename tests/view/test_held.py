"""Keys, buttons and handles that are held down while the page goes on or an answer comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.view.browser import PATIENCE, Page
from tests.view.folder import serving, write_examinations, write_results
from tests.view.test_browser import actions, eventually, same_as_library, stored
from tests.view.test_fast_keys import at_once

DRAW = "document.querySelector('#tool-draw').getAttribute('aria-pressed')"
ZOOM = "parseFloat(document.querySelector('#zoom').textContent)"


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 8)
    return tmp_path


def hold(page: Page, key: str, times: int = 4) -> None:
    """Hold a key down so long that it repeats."""
    for _ in range(times):
        page.page.keyboard.down(key)
    page.page.keyboard.up(key)


@contextmanager
def reply_held_back(page: Page) -> Iterator[None]:
    """The next change that the page sends waits for the end of the block, later ones do not."""
    routes: list = []

    def hold_the_first(route):
        if routes:
            route.continue_()
        else:
            routes.append(route)

    page.page.route("**/api/frames/*/events", hold_the_first)
    yield
    end = time.monotonic() + PATIENCE
    while not routes and time.monotonic() < end:
        page.page.wait_for_timeout(20)
    routes[0].continue_()
    page.page.unroute("**/api/frames/*/events")  # a handler runs only while the test waits for the browser


def test_held_key_decides_once(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    hold(page, "v")
    hold(page, "x", 3)
    page.page.locator("#accept").focus()
    hold(page, "Enter", 3)  # a button clicks at each of them
    eventually(lambda: actions(server, 0), ["accept", "reject", "accept"])
    hold(page, "d", 2)
    assert page.page.evaluate(DRAW) == "true"
    first = page.page.evaluate(ZOOM)
    page.press("+")
    once = page.page.evaluate(ZOOM) / first
    hold(page, "+", 2)
    assert page.page.evaluate(ZOOM) / first == pytest.approx(once**3, rel=0.02)
    hold(page, "c")
    assert page.page.locator("#comment").input_value() == ""  # the key led there and is no text
    hold(page, "c", 3)
    assert page.page.locator("#comment").input_value() == "ccc"
    page.press("Escape", "x")
    decided = ["accept", "reject", "accept", "reject"]  # a pause in the typing makes two comments
    eventually(lambda: [action for action in actions(server, 0) if action != "comment"], decided)


@pytest.mark.parametrize("key", ["n", "s"])
def test_what_a_held_arrow_moved_is_kept_where_the_frame_is_left(browser, tmp_path, key):
    write_examinations(tmp_path)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        before = stored(server, 0)["answer"]["ellipse"]
        page.press("1")
        page.page.keyboard.down("ArrowRight")
        page.press(key)
        page.page.keyboard.up("ArrowRight")
        eventually(lambda: actions(server, 0), ["move"])
        assert stored(server, 0)["answer"]["ellipse"] == pytest.approx([before[0] + 1, *before[1:]])


def test_arrow_moves_no_outline_of_the_next_frame(browser, server):
    page = Page(browser, server.address)
    page.choose(4)
    page.press("1", "n")  # an abdomen and then a head: the same handles
    beside = page.number()
    page.press("ArrowRight")  # the next frame: no handle of this one was chosen
    page.until("n => 'shown' in document.body.dataset && document.body.dataset.shown !== String(n)", beside)


def test_row_under_the_pointer_is_the_same_after_an_answer(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    box = page.page.locator("#row-2 .title").bounding_box()
    page.page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.page.mouse.down()
    at_once(page, "v")
    page.answered(1)
    page.page.mouse.up()
    page.shows(2)


def test_tick_that_is_held_is_the_same_after_an_answer(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("k", "Tab")
    page.page.keyboard.down("Space")
    at_once(page, "x")
    page.answered(1)
    page.page.keyboard.up("Space")
    eventually(lambda: actions(server, 0), ["reject", "tick"])


def test_escape_shows_the_answer_that_came_during_a_drag(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    first = page.shown()
    page.drag("long1", 30, 10)
    page.answered(1)
    with reply_held_back(page):
        page.press("u")
        page.drag("centre", 25, 25, release=False)
    page.until("!document.querySelector('#row-0 .said').textContent.includes('corrected')")  # the reply is here
    page.press("Escape")
    page.page.mouse.up()
    eventually(page.shown, pytest.approx(first))
    page.press("v")
    eventually(lambda: actions(server, 0), ["pull", "undo", "accept"])
    same_as_library(page, stored(server, 0))


def test_answer_of_another_tab_ends_a_drag(browser, server):
    one, two = Page(browser, server.address), Page(browser, server.address)
    for page in (one, two):
        page.choose(0)
    with reply_held_back(two):
        two.press("v")
        one.drag("long1", 30, 10)
        one.answered(1)
        two.drag("centre", 25, 25, release=False)
    two.said("another tab")
    two.page.mouse.up()
    two.press("v")
    eventually(lambda: actions(server, 0), ["pull", "accept"])
    same_as_library(two, stored(server, 0))


def test_change_in_another_tab_is_shown_after_a_drag_is_given_up(browser, server):
    one, two = Page(browser, server.address), Page(browser, server.address)
    for page in (one, two):
        page.choose(0)
    two.drag("centre", 25, 25, release=False)
    one.press("x")
    two.until("document.querySelector('#row-0').dataset.decision === 'rejected'")  # it is heard of while a handle moves
    two.press("Escape")
    two.page.mouse.up()
    two.until("document.querySelector('#reject').getAttribute('aria-pressed') === 'true'")
