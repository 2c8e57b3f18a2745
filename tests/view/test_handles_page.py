"""Handles under a hand that does something else too: keys, a pen, several fingers, an enlarged picture."""

from __future__ import annotations

import pytest

from tests.view.browser import Page
from tests.view.folder import row, save_rows, serving, write_results
from tests.view.test_browser import actions, eventually, stored

ROUND = [200.0, 150.0, 81.0, 80.0, 0.3]
NUMBERS = {"ellipse_px": ROUND, "spacing_mm": 0.9, "column_spacing_mm": 0.9}
DRAW = "document.querySelector('#tool-draw').getAttribute('aria-pressed')"
PEN = """([x, y, ...to]) => {
    const at = document.elementFromPoint(x, y), pen = { bubbles: true, pointerId: 1, pointerType: 'pen' };
    const send = (kind, x, y) => at.dispatchEvent(new PointerEvent(kind, { ...pen, clientX: x, clientY: y }));
    send('pointerdown', x, y);
    send('pointermove', ...to);
    send('pointerup', ...to);
}"""


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 2)
    frames = [tmp_path / "frames" / f"frame_0{i}.png" for i in range(2)]
    save_rows(tmp_path / "results", [row(path, "abdomen", "measured", **NUMBERS) for path in frames])
    return tmp_path


def test_plane_that_is_chosen_while_a_handle_is_held_gets_no_outline_of_its_numbers(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.drag("long1", 20, 10, release=False)
    page.press("f")
    page.page.mouse.move(700, 400)
    page.page.mouse.up()
    page.press("x")
    eventually(lambda: actions(server, 0), ["plane", "reject"])
    assert stored(server, 0)["answer"]["shaft"] is None
    assert page.errors == []


def test_pen_that_presses_without_moving_takes_no_decision_back(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    page.answered(1)
    x, y = page.handle("centre")
    page.page.evaluate(PEN, [x, y, x, y])  # its pressure is told by moves
    page.press("d")
    page.page.evaluate(PEN, [x, y, x + 1, y])  # too short for an outline
    assert page.page.evaluate(DRAW) == "true"
    page.press("Escape", "x")
    eventually(lambda: actions(server, 0), ["accept", "reject"])


def test_palm_beside_two_fingers_moves_no_handle(browser, server):
    page = Page(browser, server.address, 800, 1000, has_touch=True, is_mobile=True)
    page.shows(0)
    x, y = page.handle("centre")
    touch = page.context.new_cdp_session(page.page)
    fingers = [{"x": 80, "y": 200, "id": 1}, {"x": 120, "y": 240, "id": 2}]
    for kind, down in (
        ("touchStart", fingers[:1]),
        ("touchStart", fingers),
        ("touchStart", [*fingers, {"x": x, "y": y, "id": 3}]),
        ("touchMove", [*fingers, {"x": x + 30, "y": y, "id": 3}]),
        ("touchMove", [*fingers, {"x": x + 60, "y": y, "id": 3}]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": down})
    page.press("x")
    eventually(lambda: actions(server, 0), ["reject"])
    assert stored(server, 0)["answer"]["ellipse"] == ROUND


def test_end_that_is_pulled_past_the_other_axis_goes_on_moving(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("2")
    for _ in range(2):
        page.page.keyboard.down("Shift")
        page.page.keyboard.down("ArrowRight")
        shown = page.shown()
        assert shown["Long axis"] > shown["Short axis"]
        page.page.keyboard.up("ArrowRight")
        page.page.keyboard.up("Shift")
    eventually(lambda: actions(server, 0), ["pull", "pull"])
    _, _, a, b, _ = stored(server, 0)["answer"]["ellipse"]
    assert (a, b) == pytest.approx((80, 81 - 10 * 0.95534), abs=0.01)  # cos 0.3: the way along the axis


def test_handle_that_a_key_chooses_is_in_sight_where_the_picture_is_enlarged(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    stage = page.page.locator("#stage").bounding_box()

    def seen(name: str) -> bool:
        x, y = page.handle(name)
        left, top = stage["x"], stage["y"]
        return left <= x <= left + stage["width"] and top <= y <= top + stage["height"]

    page.page.mouse.move(*page.handle("long1"))
    page.page.mouse.wheel(0, -500)
    page.until("parseFloat(document.querySelector('#zoom').textContent) > 500")
    eventually(lambda: seen("long0"), False)
    page.press("2")
    eventually(lambda: seen("long0"), True)
    page.press("+", "+", "+")
    for _ in range(4):
        page.press("Shift+ArrowLeft")
    eventually(lambda: seen("long0"), True)


def test_enter_draws_where_a_button_was_pressed_before_and_escape_ends_drawing(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.page.locator("#reject").click()
    page.answered(1)
    page.press("ArrowRight")
    page.shows(1)
    page.press("d", "Enter")
    eventually(lambda: actions(server, 1), ["draw"])
    page.press("d", "Escape")
    assert page.page.evaluate(DRAW) == "false"


def test_message_over_the_picture_lets_the_pointer_through(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("t", "d")
    page.said("Choose a plane first")
    hit = """() => {
        const { left, top, width, height } = document.querySelector('#toast').getBoundingClientRect();
        return document.elementFromPoint(left + width / 2, top + height / 2).id;
    }"""
    assert page.page.evaluate(hit) == "overlay"


def test_frame_that_is_chosen_beside_an_examination_is_shown(browser, tmp_path):
    frames = write_results(tmp_path, 3)
    save_rows(tmp_path / "results", [r | {"examination": "visit-0", "day": 100} for r in frames])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        page.press("s")
        page.page.wait_for_selector("body.exam-open")
        page.page.locator("#tabs label").first.click()
        page.choose(2)
        page.page.locator("#stage").wait_for(state="visible", timeout=5000)
        page.press("x")
        eventually(lambda: actions(server, 2), ["reject"])
