"""The page on a small screen, or a large one at 200 and 400 % zoom: the decision and its value stay in sight."""

from __future__ import annotations

import pytest

from tests.view.browser import Page
from tests.view.folder import row, save_rows, serving, write_results
from tests.view.test_browser import actions

REASON = "the outline is soft on the left, right and upper sides; " * 3
NUMBERS = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.9, "column_spacing_mm": 0.9}
IN_SIGHT = """selector => {
    const node = document.querySelector(selector), { left, top, right, bottom } = node.getBoundingClientRect();
    const inside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return inside && (node === hit || node.contains(hit));
}"""
COVERED = """() => [...document.querySelectorAll('.values tr')].flatMap(row => {
    const texts = [...row.children].filter(cell => cell.textContent).map(cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return [cell.textContent, range.getBoundingClientRect()];
    });
    return texts.slice(1).filter(([, box], i) => box.left < texts[i][1].right).map(([text]) => text);
})"""
SIZES = [(640, 400), (640, 512), (720, 450), (390, 844), (320, 256), (960, 540), (1280, 500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("small")
    write_results(tmp_path, 1)
    path = tmp_path / "frames" / "frame_00.png"
    save_rows(tmp_path / "results", [row(path, "head", "review", reason=REASON, **NUMBERS)])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        yield server


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_decision_stays_in_sight(browser, server, width, height):
    page = Page(browser, server.address, width, height)
    assert page.number() == 0
    for focus in ("#accept", "#comment", ".history summary", "#planes input:checked"):
        page.page.locator(focus).focus()  # the browser scrolls to it
        for button in ("#accept", "#reject"):
            assert page.page.evaluate(IN_SIGHT, button), (focus, button)
        if focus != "#planes input:checked":  # it is transparent, over its label
            assert page.page.evaluate(IN_SIGHT, focus), focus


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_find_opens_the_list_and_its_letters_are_no_keys(browser, server, width, height):
    page = Page(browser, server.address, width, height)
    assert page.number() == 0
    page.press("/")
    page.page.keyboard.type("xvr_frame")
    assert page.page.input_value("#filter") == "xvr_frame"
    assert page.page.locator("#status").text_content() == "To review"
    page.page.fill("#filter", "frame_00")
    page.press("Enter")
    page.until("!document.body.classList.contains('list-open')")
    page.shows(0)
    page.press("/", "Escape", "Escape")
    assert not page.page.evaluate("document.body.classList.contains('list-open')")
    assert actions(server, 0) == []


@pytest.mark.parametrize(("width", "height"), [size for size in SIZES if size[0] <= 860])
def test_value_stands_beside_the_decision(browser, server, width, height):
    page = Page(browser, server.address, width, height)
    assert page.number() == 0
    line = page.page.locator("#decided-on")
    assert page.page.evaluate(IN_SIGHT, "#decided-on")
    before = line.text_content()
    assert before == f"head, HC {page.shown()['HC']:.1f} mm"
    page.page.locator("[data-handle=long1]").focus()
    page.page.keyboard.down("ArrowRight")  # not recorded yet
    page.until("old => document.querySelector('#decided-on').textContent !== old", before)
    assert line.text_content() == f"head, HC {page.shown()['HC']:.1f} mm"


@pytest.mark.parametrize(("key", "dialog"), [("?", "#help"), ("b", "#agreement"), ("e", "#exported")])
def test_dialog_begins_at_its_beginning_and_is_left_by_keys(browser, server, key, dialog):
    page = Page(browser, server.address, 320, 256)
    assert page.number() == 0
    page.page.locator("#accept").focus()
    for leave in ("Escape", "Enter"):
        page.press(key)
        page.until(f"document.querySelector('{dialog}').open")
        assert page.page.evaluate("s => document.querySelector(s).scrollHeight > innerHeight", dialog)
        assert page.page.evaluate("s => document.querySelector(s).scrollTop", dialog) == 0
        if leave == "Enter":
            page.page.locator(f"{dialog} form button").focus()
        page.press(leave)
        page.until(f"!document.querySelector('{dialog}').open")
        assert page.page.evaluate("document.activeElement.id") == "accept"
    assert page.errors == []


def test_list_that_hides_the_frame_closes_when_the_focus_goes_on(browser, server):
    page, opened = Page(browser, server.address, 640, 400), "document.body.classList.contains('list-open')"
    assert page.number() == 0
    page.press("l", "Tab")
    assert page.page.evaluate(f"{opened} && document.activeElement.id") == "agreement-open"
    page.press("Tab")
    assert not page.page.evaluate(opened)
    assert page.page.locator("#list-toggle").get_attribute("aria-expanded") == "false"
    for is_open in (True, False):  # its own button takes the focus from it, too
        page.page.click("#list-toggle")
        assert page.page.evaluate(opened) == is_open


@pytest.mark.parametrize(("width", "height"), [*SIZES, (560, 500), (683, 384), (860, 600), (1366, 768)])
def test_values_do_not_cover_each_other(browser, server, width, height):
    page = Page(browser, server.address, width, height)
    assert page.number() == 0
    assert page.page.evaluate(COVERED) == []


def test_paper_has_black_values_and_nothing_to_press(browser, server):
    page = Page(browser, server.address, 794, 1123)
    assert page.number() == 0
    page.page.emulate_media(media="print")
    for selector in ("#accept", "#reject", "#export", ".tools", ".frames", ".history-buttons"):
        assert not page.page.locator(selector).is_visible(), selector
    for selector in (".values tbody td", "#status", ".notice", "#stage"):
        assert page.page.locator(selector).first.is_visible(), selector
    paper = "[document.body, document.querySelector('.values tbody td')].map(node => getComputedStyle(node))"
    assert page.page.evaluate(f"{paper}.map((s, i) => i ? s.color : s.backgroundColor)") == [
        "rgb(255, 255, 255)",
        "rgb(0, 0, 0)",
    ]


@pytest.mark.parametrize(("width", "height"), [size for size in SIZES if size[0] < 700])
def test_tool_that_has_the_focus_is_in_sight(browser, server, width, height):
    page = Page(browser, server.address, width, height)
    assert page.number() == 0
    tools = page.page.locator(".tools button")
    tools.first.focus()
    for k in range(1, tools.count()):
        page.press("Tab")
        assert tools.nth(k).evaluate("e => e === document.activeElement")
        page.until(IN_SIGHT, ".tools :focus", 5)
