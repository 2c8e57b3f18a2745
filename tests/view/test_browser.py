"""The page in Debian's Chromium: correct, decide, undo, crash, go on."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest

from fetal_jax.geometry import Ellipse, stretch, wrap
from fetal_jax.view import exports
from fetal_jax.view.answer import Answer
from fetal_jax.view.session import REVIEW
from tests.view.browser import PATIENCE, Page
from tests.view.folder import Server, row, save_rows, serving, write_results


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 20, column_mm=1.1)
    return tmp_path


def stored(server: Server, n: int) -> dict:
    with urlopen(f"{server.address}api/frames/{n}") as answer:
        return json.load(answer)


def eventually(work, expected, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while (found := work()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert found == expected


def actions(server: Server, n: int) -> list[str]:
    return [event["action"] for event in stored(server, n)["events"]]


def version(server: Server, n: int, events: int) -> dict:
    """The stored frame, once it has this many changes to undo."""
    eventually(lambda: stored(server, n)["undo"], events)
    return stored(server, n)


def same_as_library(page: Page, state: dict) -> None:
    """The values in the browser are those of the library for the stored geometry, to 0.01 mm."""
    answer = Answer.parse(state["answer"])
    mm = answer.millimetres(tuple(state["spacing_mm"]))
    labels = {"head": ("HC", "hc_mm"), "abdomen": ("AC", "ac_mm"), "femur": ("FL", "fl_mm")}
    label, column = labels[answer.plane]
    shown = page.shown()
    assert shown[label] == pytest.approx(mm[column], abs=0.01)
    if answer.plane == "head":
        assert shown["BPD"] == pytest.approx(mm["bpd_mm"], abs=0.01)
        assert shown["OFD"] == pytest.approx(mm["ofd_mm"], abs=0.01)


def in_mm(state: dict) -> Ellipse:
    """The stored ellipse in millimetres."""
    row, column = state["spacing_mm"]
    return Ellipse(*state["answer"]["ellipse"]).transform(stretch(column, row))


def test_ellipse_and_femur_are_corrected(browser, server, home):
    page = Page(browser, server.address)
    page.choose(0)
    before = stored(server, 0)["answer"]["ellipse"]
    page.drag("centre", 30, -12)
    moved = version(server, 0, 1)
    assert moved["answer"]["ellipse"][2:] == pytest.approx(before[2:])
    assert moved["answer"]["ellipse"][:2] != before[:2]
    page.drag("long1", 40, 10)
    pulled = version(server, 0, 2)
    mm, long = in_mm(moved), in_mm(pulled)
    assert (long.b, long.theta) == pytest.approx((mm.b, mm.theta))
    assert long.a != pytest.approx(mm.a)
    same_as_library(page, pulled)
    page.drag("turn", 25, 40)
    turned = version(server, 0, 3)
    cx, cy, a, b, theta = np.asarray(in_mm(turned))
    assert theta != pytest.approx(long.theta)
    assert (cx, cy, a, b) == pytest.approx(np.asarray(long)[:4])
    same_as_library(page, turned)

    page.choose(2)
    bone = stored(server, 2)["answer"]["shaft"]
    page.drag("end0", -20, 15)
    state = version(server, 2, 1)
    assert state["answer"]["shaft"][2:4] == pytest.approx(bone[2:4])
    same_as_library(page, state)
    page.page.click("#accept")
    version(server, 2, 2)

    page.choose(4)
    page.page.click("#reject")
    assert version(server, 4, 1)["answer"]["decision"] == "rejected"
    page.page.click("#export")
    page.page.wait_for_selector("#exported[open]")
    entries = json.loads((home / "results" / REVIEW / exports.JSON).read_text())["corrections"]
    assert [e["decision"] for e in entries] == ["", "accepted", "rejected"]
    assert entries[0]["person"]["hc_mm"] == pytest.approx(page_value(turned), abs=1e-6)
    assert page.errors == []


def test_handle_under_the_pointer_is_the_same_after_an_answer(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.page.locator("[data-handle=long1]").evaluate("handle => { handle.dataset.held = 'true'; }")
    page.drag("centre", 30, -12)
    page.answered(1)
    assert page.page.locator("[data-handle=long1][data-held=true]").count() == 1
    page.press("u")
    page.answered(2)
    assert page.page.locator("[data-handle=long1][data-held=true]").count() == 1


def page_value(state: dict) -> float:
    return Answer.parse(state["answer"]).millimetres(tuple(state["spacing_mm"]))["hc_mm"]


def test_undo_redo_survive_reload_and_kill(browser, home):
    with serving(home / "results", "--reader=Ann") as server:
        port = urlsplit(server.address).port
        page = Page(browser, server.address)
        page.choose(0)
        before = stored(server, 0)["answer"]
        page.drag("centre", 24, 18)
        moved = version(server, 0, 1)["answer"]
        page.press("u")
        eventually(lambda: stored(server, 0)["redo"], 1)
        assert stored(server, 0)["answer"] == before
        page.reload()
        page.press("y")
        eventually(lambda: stored(server, 0)["answer"], moved)
        page.press("v")
        page.answered(4)
        server.kill()
        page.press("c")  # what is changed while the server is away is sent when it is back
        page.page.keyboard.type("seen")
        page.press("Escape")
        page.said("does not answer")
    with serving(home / "results", "--reader=Ann", f"--port={port}") as server:
        page.said("answers again")  # nothing waits any more, and the page may be left
        assert stored(server, 0)["answer"]["comment"] == "seen"
        assert stored(server, 0)["answer"]["decision"] == "accepted"
        page.reload()
        for _ in range(stored(server, 0)["undo"]):  # what was typed may be two comments
            page.press("u")
        eventually(lambda: stored(server, 0)["answer"], before)


def test_reload_in_the_middle_of_a_drag_changes_nothing(browser, server):
    page = Page(browser, server.address)
    page.choose(1)
    before = stored(server, 1)
    page.drag("centre", 40, 40, release=False)
    page.reload()
    page.page.mouse.up()
    same_as_library(page, before)
    page.press("c")
    page.page.keyboard.insert_text("later")
    page.press("Escape")
    state = version(server, 1, 1)
    assert state["answer"] == before["answer"] | {"comment": "later"}


def test_escape_ends_a_drag(browser, server):
    page = Page(browser, server.address)
    page.choose(1)
    before = page.shown()
    page.drag("long0", 40, 40, release=False)
    assert page.shown() != before
    page.press("Escape")
    page.page.mouse.up()
    eventually(page.shown, pytest.approx(before))
    page.press("v")
    eventually(lambda: actions(server, 1), ["accept"])


def test_two_tabs_show_one_answer(browser, server):
    one, two = Page(browser, server.address), Page(browser, server.address)
    for page in (one, two):
        page.choose(0)
    one.drag("centre", 20, 20)
    state = version(server, 0, 1)
    two.until("document.querySelector('#undo').disabled === false")
    same_as_library(two, state)
    two.press("x")
    version(server, 0, 2)
    one.until("document.querySelector('#reject').getAttribute('aria-pressed') === 'true'")


def test_keyboard_alone_does_the_whole_walk(browser, server, home):
    page = Page(browser, server.address)
    first = page.page.locator("#name").text_content()
    page.press("ArrowRight")
    page.until("name => document.querySelector('#name').textContent !== name", first)
    page.press("ArrowLeft")
    page.until("name => document.querySelector('#name').textContent === name", first)
    n = 1  # the first to review, an abdomen
    before = stored(server, n)["answer"]["ellipse"]
    page.press("3", "ArrowRight", "Shift+ArrowRight")
    page.press("Escape")
    version(server, n, 2)
    page.press("6", "ArrowRight", "Escape")
    state = version(server, n, 3)
    assert state["answer"]["ellipse"][4] != pytest.approx(before[4])
    same_as_library(page, state)
    page.press("h")
    assert version(server, n, 4)["answer"]["plane"] == "head"
    page.until("document.querySelector('#values tbody th').textContent === 'HC'")
    page.press("a", "c")
    page.page.keyboard.type("ok, v x n")
    page.press("Escape")
    eventually(lambda: stored(server, n)["answer"]["comment"], "ok, v x n")
    recorded = stored(server, n)["undo"]  # a pause in the typing makes two comments
    assert actions(server, n)[5:] == ["comment"] * (recorded - 5)
    to_review = "Number(document.querySelector('#progress').textContent.match(/(\\d+) to review/)[1])"
    open_before = page.page.evaluate(to_review)
    page.press("v")
    assert version(server, n, recorded + 1)["answer"]["decision"] == "accepted"
    page.until(f"{to_review} === {open_before - 1}")
    page.press("u", "y")
    eventually(lambda: stored(server, n)["events"][-1]["action"], "redo")
    assert stored(server, n)["answer"]["decision"] == "accepted"
    page.press("+", "0", "w", "]", "w", "m", "o", "o", "?")
    page.page.wait_for_selector("#help[open]")
    page.press("Escape")
    page.press("n")
    page.until("name => document.querySelector('#name').textContent !== name", first)
    page.press("f", "d", "Enter")
    eventually(lambda: stored(server, 5)["events"][-1:] and stored(server, 5)["events"][-1]["action"], "draw")
    page.press("e")
    page.page.wait_for_selector("#exported[open]")
    assert (home / "results" / REVIEW / exports.TABLE).is_file()
    assert str(home / "results" / REVIEW / exports.TABLE) in page.page.locator("#exported-text").text_content()
    assert page.errors == []


def test_touch_pulls_a_handle(browser, server):
    page = Page(browser, server.address, 390, 844, has_touch=True, is_mobile=True)
    x, y = page.handle("centre")
    touch = page.context.new_cdp_session(page.page)
    for kind, at in (("touchStart", 0), ("touchMove", 10), ("touchMove", 24)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + at, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert version(server, 1, 1)["events"][-1]["action"] == "move"


def test_outline_keeps_its_size_when_it_is_turned_where_pixels_are_not_square(browser, tmp_path):
    (found,) = write_results(tmp_path, 1, column_mm=0.8)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.press("6")
        for _ in range(60):  # held: half a degree each time
            page.page.keyboard.down("ArrowRight")
        page.page.keyboard.up("ArrowRight")
        eventually(lambda: actions(server, 0), ["turn"])
        turned = in_mm(stored(server, 0))
        page.drag("turn", 40, 60)
        eventually(lambda: actions(server, 0), ["turn", "turn"])
        again = in_mm(stored(server, 0))
    before = Ellipse(*found["ellipse_px"]).transform(stretch(found["column_spacing_mm"], found["spacing_mm"]))
    for ellipse in (turned, again):
        assert (ellipse.a, ellipse.b) == pytest.approx((before.a, before.b), rel=1e-6)
    assert wrap(turned.theta - before.theta) == pytest.approx(np.pi / 6, abs=1e-6)


def test_five_lines_of_reasons_are_seen_on_a_low_screen(browser, tmp_path):
    """The panel scrolls; the box of the reasons does not shrink."""
    write_results(tmp_path, 1)
    numbers = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.2, "column_spacing_mm": 0.2}
    reason = "the outline is soft on the left, right and upper sides; " * 3
    save_rows(
        tmp_path / "results", [row(tmp_path / "frames" / "frame_00.png", "head", "review", reason=reason, **numbers)]
    )
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address, 1300, 700)
        page.until("document.querySelector('#reason').textContent !== ''")
        height = "document.querySelector('#reason').%s"
        assert page.page.evaluate(height % "clientHeight") == page.page.evaluate(height % "scrollHeight") > 80


def test_script_in_names_and_comments_is_text(browser, tmp_path):
    (tmp_path / "results").mkdir()
    evil = "<img src=x onerror=alert(1)><script>alert(2)<"
    write_results(tmp_path / "other", 1)
    path = (tmp_path / "other" / "frames" / "frame_00.png").rename(tmp_path / "other" / f"{evil}.png")
    numbers = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.2, "column_spacing_mm": 0.2}
    save_rows(tmp_path / "results", [row(path, "head", "review", reason=evil, **numbers)])
    with serving(tmp_path / "results", f"--reader={evil[:28].replace('=', '')}") as server:
        page = Page(browser, server.address)
        page.press("c")
        page.page.keyboard.type(evil)
        page.press("Escape")
        eventually(lambda: stored(server, 0)["answer"]["comment"], evil)
        page.page.locator(".history summary").click()
        assert page.page.locator("#name").text_content() == evil
        assert page.page.locator("main img, aside img, nav img, script:not([src])").count() == 0
        assert page.errors == []


def test_read_only_page_changes_nothing(browser, server, home):
    with serving(home / "results", "--reader=Ann") as second:
        page = Page(browser, second.address)
        assert page.page.locator("#who").text_content() == "read-only"
        sent = []
        page.page.on("request", lambda request: sent.append(request.url))
        before, place = page.shown(), page.handle("long1")
        page.press("v", "h", "d")
        page.drag("long1", 20, 20)  # a mouse can take hold of a handle: the outline goes back
        eventually(page.shown, before)
        eventually(lambda: page.handle("long1"), place)
        assert page.page.locator("#accept").is_disabled()
        first = Page(browser, server.address)
        assert first.number() == 1
        first.press("x")
        page.until("document.querySelector('#reject').getAttribute('aria-pressed') === 'true'")
        assert actions(second, 1) == ["reject"]
        assert [url for url in sent if url.endswith("/events")] == []
        assert page.errors == []


@pytest.mark.parametrize("width", [390, 1440, 1920])
def test_axe_finds_nothing_serious(browser, server, width):
    from axe_playwright_python.sync_playwright import Axe

    page = Page(browser, server.address, width, 900)
    for prepare in (lambda: None, lambda: page.press("v"), lambda: page.press("?")):
        prepare()
        found = Axe().run(page.page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == []


@pytest.mark.parametrize("width", [390, 1440, 1920])
def test_nothing_moves_or_sticks_out(browser, server, width):
    page = Page(browser, server.address, width, 900)
    boxes = (
        "[...document.querySelectorAll('#stage, #values, #accept, #undo')].map(e => e.getBoundingClientRect().toJSON())"
    )
    before = page.page.evaluate(boxes)
    page.drag("long1", 15, 15)
    version(server, 1, 1)
    assert page.page.evaluate(boxes) == before
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_status_is_read_aloud(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    version(server, 0, 1)
    page.until("document.querySelector('#live').textContent.includes('Accepted')")
    said = page.page.locator("#live").text_content()
    assert f"HC {page.shown()['HC']:.1f} millimetres" in said
    label = page.page.locator("[data-handle=centre]").get_attribute("aria-label")
    assert label.startswith("Centre, x ")
