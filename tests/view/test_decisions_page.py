"""What keys do to a decision, in Debian's Chromium: none is taken back unsaid."""

from __future__ import annotations

import pytest

from tests.view.browser import Page
from tests.view.folder import serving, write_examinations, write_results
from tests.view.test_browser import actions, eventually, stored
from tests.view.test_readers import read

TAKEN = "[...document.querySelectorAll('#readings .said')].map(e => e.textContent.includes('taken'))"


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 8)
    return tmp_path


@pytest.fixture
def adjudicating(tmp_path):
    write_examinations(tmp_path, 1)
    read(tmp_path, "Ann", [1.0, 1.01, 1.0])
    read(tmp_path, "Bob", [1.1, 1.0, 1.01])
    with serving(tmp_path / "results", "--reader=Cid", "--adjudicate") as server:
        yield server


@pytest.mark.parametrize("key", ["v", "x"])
def test_arrow_after_a_decision_goes_on_and_moves_no_handle(browser, server, key):
    page = Page(browser, server.address)
    page.choose(0)
    page.drag("long1", 20, 10)  # the handle has the focus
    page.press(key, "ArrowRight")
    page.until("document.body.dataset.shown && document.body.dataset.shown !== '0'")
    eventually(lambda: actions(server, 0), ["pull", {"v": "accept", "x": "reject"}[key]])
    assert page.errors == []


@pytest.mark.parametrize("keys", [["1", "ArrowRight", "Escape"], ["a"], ["r"]])
def test_page_says_that_a_change_takes_the_decision_back(browser, server, keys):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    page.answered(1)
    page.press(*keys)
    page.said("no longer accepted")
    page.answered(2)
    assert stored(server, 0)["answer"]["decision"] == ""


def test_message_about_a_frame_ends_with_the_frame(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v", "a")
    page.said("no longer accepted")
    page.press("n")
    page.until("document.body.dataset.shown && document.body.dataset.shown !== '0'")
    assert page.page.locator("#toast").text_content() == ""


def test_accept_after_taking_a_reading_confirms_it(browser, adjudicating):
    page = Page(browser, adjudicating.address)
    page.choose(0)
    page.press("8")
    page.answered(1)
    page.until(f"JSON.stringify({TAKEN}) === '[false,true,false]'")
    page.press("c")
    page.page.keyboard.insert_text("agreed")
    page.press("Escape", "v")
    eventually(lambda: actions(adjudicating, 0), ["choose", "comment", "accept"])
    assert stored(adjudicating, 0)["answer"]["decision"] == "accepted"
    page.answered(3)
    assert page.page.evaluate(TAKEN) == [False, True, False]
    page.press("v")  # a second time, it takes the decision back as ever
    eventually(lambda: stored(adjudicating, 0)["answer"]["decision"], "")
    page.until(f"JSON.stringify({TAKEN}) === '[false,false,false]'")
    page.press("8", "1", "ArrowRight", "Escape")
    eventually(lambda: actions(adjudicating, 0)[4:], ["choose", "move"])
    page.answered(6)
    assert not any(page.page.evaluate(TAKEN))
    assert page.errors == []


def test_accept_at_once_after_taking_a_reading_confirms_it(browser, adjudicating):
    page = Page(browser, adjudicating.address)
    page.choose(0)
    page.page.evaluate(
        "['8', 'v'].forEach(key => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))"
    )
    eventually(lambda: actions(adjudicating, 0), ["choose", "accept"])
    assert stored(adjudicating, 0)["answer"]["decision"] == "accepted"


def test_drawing_asks_for_a_plane(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("t", "d")
    page.said("Choose a plane first")
    assert page.page.locator("#tool-draw").get_attribute("aria-pressed") == "false"


def test_drawing_that_is_on_asks_for_a_plane(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("d", "t", "Enter")
    page.said("Choose a plane first")
