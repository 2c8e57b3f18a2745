"""Where the focus is, for who works by keyboard or hears the page."""

from __future__ import annotations

from tests.view.browser import Page
from tests.view.folder import serving, write_examinations

FOCUS = "document.activeElement.id || document.activeElement.dataset.handle || document.activeElement.tagName"


def test_focus_goes_back_where_an_examination_was_opened(browser, tmp_path):
    write_examinations(tmp_path, 1)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.page.locator("#accept").focus()
        page.press("s")
        page.until("document.querySelector('#live').textContent.startsWith('Examination')")
        assert page.page.evaluate(FOCUS) == "exam-close"
        page.press("Enter")
        page.until("document.querySelector('#live').textContent.includes('millimetres')")
        assert page.page.evaluate(FOCUS) == "accept"


def test_only_handles_of_the_picture_are_places_to_stop_at(browser, tmp_path):
    write_examinations(tmp_path, 1)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.page.locator("#agreement-open").focus()
        page.press("Tab")
        assert page.page.evaluate(FOCUS) == "centre"
