"""A server that is away: what waits for it in the page, and replies that are lost."""

from __future__ import annotations

from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.view.browser import Page
from tests.view.folder import serving, write_results
from tests.view.test_browser import actions, eventually, stored
from tests.view.test_fast_keys import NEXT_IS_HERE, at_once
from tests.view.test_session import opened


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
        page.said("does not answer", f"--port={urlsplit(server.address).port}.")  # any other would be another page's
        page.press("ArrowRight")
        assert page.number() != 0
        with page.page.expect_event("dialog") as asked:
            page.page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"


def test_page_asks_before_changes_behind_a_slow_answer_are_lost(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.page.route("**/api/frames/*/events", lambda _: None)  # the server takes its time
    at_once(page, "v", "x")
    with page.page.expect_event("dialog") as asked:
        page.page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"


def test_page_with_one_change_on_its_way_is_left_without_a_question(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.page.on("dialog", lambda dialog: pytest.fail(dialog.type))
    page.page.route("**/api/frames/*/events", lambda route: route.continue_())
    with page.page.expect_event("close"):
        at_once(page, "v")
        page.page.close(run_before_unload=True)
    eventually(lambda: actions(server, 0), ["accept"])


def test_event_whose_reply_is_lost_is_recorded_once_and_drops_no_later_ones(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    lost = []

    def lose_the_first(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch())  # the server has it
        return route.abort()

    page.page.route("**/api/frames/*/events", lose_the_first)
    at_once(page, "v", "x", "u")
    page.answered(3)
    assert lost[0].ok
    assert actions(server, 0) == ["accept", "reject", "undo"]
    assert stored(server, 0)["answer"]["decision"] == "accepted"
    assert page.page.locator("#accept").get_attribute("aria-pressed") == "true"
    page.said("answers again")
    assert not page.page.evaluate("toasts.some(said => said.includes('another tab'))")


@pytest.mark.parametrize("keys", [["c"], ["v", "c"]])
def test_comment_is_kept_where_another_tab_was_first(browser, server, keys):
    one, two = Page(browser, server.address), Page(browser, server.address)
    for page in (one, two):
        page.choose(0)
    two.page.route("**/api/changes*", lambda route: route.abort())  # it does not hear of the first tab's decision
    one.press("x")
    eventually(lambda: actions(server, 0), ["reject"])
    held = []
    two.page.route("**/api/frames/0/events", lambda route: held.append(route))  # until everything is typed
    at_once(two, *keys)
    two.page.keyboard.insert_text("a shadow")
    two.press("Escape")
    while not held:
        two.page.wait_for_timeout(20)
    two.page.unroute("**/api/frames/0/events")
    held[0].continue_()
    eventually(lambda: actions(server, 0), ["reject", "comment"])
    answer = stored(server, 0)["answer"]
    assert (answer["decision"], answer["comment"]) == ("rejected", "a shadow")
    two.until("document.querySelector('#reject').getAttribute('aria-pressed') === 'true'")
    assert two.page.input_value("#comment") == "a shadow"


def test_change_is_kept_for_a_server_that_was_started_again_with_another_token(browser, home):
    options, progress = ["--reader=Ann", "--host=127.0.0.2"], "document.querySelector('#progress').textContent"
    with serving(home / "results", *options) as server:
        page = Page(browser, server.address)
        page.choose(0)
        server.kill()
        page.press("v")
        page.said("does not answer")
    with serving(home / "results", *options, f"--port={urlsplit(server.address).port}") as server:
        page.page.wait_for_event("response", lambda answer: answer.status == 401)
        page.until(f"{progress}.includes('1 not written yet')")
        page.page.evaluate("address => location.assign(address)", server.address)  # after the # alone it is another one
        page.until(f"!{progress}.includes('not written')")
        assert "token" not in page.page.url
    with ExitStack() as held:
        assert opened(home, held).state(0)["answer"]["decision"] == "accepted"
