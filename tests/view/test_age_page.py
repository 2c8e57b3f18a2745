"""The age beside a frame: it is that of the outline in sight, or pale."""

from __future__ import annotations

import pytest

from fetal_jax.growth import format_age, gestational_age
from tests.view.browser import Page
from tests.view.folder import row, save_rows, serving, write_examinations, write_results

NUMBERS = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.5, "column_spacing_mm": 0.5}
AGE = "document.querySelector('#values tbody tr:last-child td')"
CURRENT = f"age => {AGE}.textContent === age && !{AGE}.classList.contains('old')"


@pytest.fixture
def server(tmp_path):
    write_results(tmp_path, 1)
    save_rows(tmp_path / "results", [row(tmp_path / "frames" / "frame_00.png", "head", "review", **NUMBERS)])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        yield server


def age_of(page: Page) -> str:
    """The age by the HC that the page shows."""
    return format_age(gestational_age(hc_mm=page.shown()["HC"], standard="hadlock").weeks)


def test_reason_why_there_is_no_age_is_read_whole(browser, tmp_path):
    rows = write_examinations(tmp_path, 1)
    rows[1]["ac_mm"] *= 0.6  # no fetus has this abdomen and these other sizes
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address, 1280, 800)
        page.choose(0)
        page.until("document.querySelector('#brief td:last-child').textContent.includes('two fetuses')")
        assert page.page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.panel'))")
        brief = page.page.locator("#brief").evaluate("e => [e.lastElementChild.children.length, e.clientHeight]")
        assert brief[0] == 0
        assert brief[1] < 400  # no room is kept for a chart that is not there


def test_age_follows_a_handle(browser, server):
    page = Page(browser, server.address)
    before = age_of(page)
    page.until(CURRENT, before)
    page.drag("long1", 60, 0, release=False)
    assert age_of(page) != before
    page.until(CURRENT, age_of(page))
    page.press("Escape")
    page.until(CURRENT, before)


def test_age_of_another_outline_is_pale(browser, server):
    page = Page(browser, server.address)
    for path in ("preview", "events"):
        page.page.route(f"**/api/frames/0/{path}", lambda _: None)  # the server takes its time
    page.drag("long1", 60, 0)
    assert page.page.evaluate(f"{AGE}.classList.contains('old')")
    page.press("v")
    assert page.page.evaluate(f"{AGE}.classList.contains('old')")
