"""A server that is away: what waits for it in the page, and replies that are lost."""

from __future__ import annotations

import pytest

from tests.view.browser import Page
from tests.view.folder import serving, write_results
from tests.view.test_browser import actions, stored
from tests.view.test_fast_keys import NEXT_IS_HERE, at_once


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 8)
    return tmp_path


def test_page_asks_before_changes_of_an_earlier_frame_are_lost(browser, home):
    with serving(home / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        page.until(NEXT_IS_HERE)
        server.kill()
        page.press("v")
        page.said("does not answer")
        page.press("ArrowRight")
        assert page.number() != 0
        with page.page.expect_event("dialog") as asked:
            page.page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"
