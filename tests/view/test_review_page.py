"""Examinations, checklists, readings and agreement in Debian's Chromium."""

from __future__ import annotations

import pytest

from fetal_jax.view import examinations
from fetal_jax.view.session import Session
from tests.view.browser import Page
from tests.view.folder import save_rows, serving, write_examinations
from tests.view.test_browser import actions, eventually, stored, version
from tests.view.test_readers import read

WIDTHS = [390, 1440, 1920]
BRIEF = "[...document.querySelectorAll('#brief tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
DOT = "document.querySelector('#brief circle').getAttribute('cy')"


@pytest.fixture
def home(tmp_path):
    write_examinations(tmp_path, 3)
    return tmp_path


def brief(page: Page) -> dict[str, list[str]]:
    page.until("!document.querySelector('#brief').hidden && document.querySelector('#brief circle')")
    return {label: rest for label, *rest in page.page.evaluate(BRIEF)}


def shows(page: Page, check) -> dict[str, list[str]]:
    eventually(lambda: check(brief(page)), True)
    return brief(page)


def test_examination_follows_a_handle_and_a_plane(browser, server):
    page = Page(browser, server.address)
    before, dot = brief(page), float(page.page.evaluate(DOT))
    assert before["Age"][0] == "24w0d"
    page.drag("long1", 60, 40, release=False)
    during = shows(page, lambda found: found["HC"] != before["HC"])  # not yet let go, not yet recorded
    assert stored(server, 0)["undo"] == 0
    assert during["Age"] != before["Age"]
    assert during["Weight"] != before["Weight"]
    assert float(page.page.evaluate(DOT)) < dot
    page.press("Escape")
    page.page.mouse.up()
    shows(page, lambda found: found == before)
    page.drag("long1", 60, 40)
    version(server, 0, 1)
    shows(page, lambda found: found["HC"][0] == f"{page.shown()['HC']:.1f} mm")
    page.press("a")
    shows(page, lambda found: found["HC"][0] == "—")
    page.press("u", "u")
    shows(page, lambda found: found == before)
    assert page.errors == []


OVERLAP = """() => {
    const all = [...document.querySelector('.panel').children];
    const parts = all.filter((e) => getComputedStyle(e).position === 'static');
    const boxes = parts.map((e) => [e, e.getBoundingClientRect()]).filter(([, box]) => box.height);
    const over = boxes.filter(([, box], i) => i && box.top < boxes[i - 1][1].bottom - 0.5);
    const out = parts.filter((e) => getComputedStyle(e).overflow === 'visible' && e.scrollHeight > e.clientHeight + 1);
    return [...over.map(([e]) => e), ...out].map((e) => `${e.className} ${e.id}`);
}"""
"""The panel's parts that lie over another one, or whose content does; the decision does so on purpose."""


@pytest.mark.parametrize("role", ["--blinded", ""])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1500, 900)])
def test_no_part_of_the_panel_lies_over_another(browser, tmp_path, width, height, role):
    rows = write_examinations(tmp_path, 1)
    rows[0]["hc_mm"] *= 0.6  # no fetus has this head and these other sizes: there is no chart
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann", *filter(None, [role])) as server:
        page = Page(browser, server.address, width, height)
        page.until("!document.querySelector('#brief').hidden && document.querySelector('#brief tbody tr')")
        assert not page.page.locator("#brief svg").count()
        assert page.page.evaluate(OVERLAP) == []


def test_examinations_by_keyboard_alone(browser, server):
    page = Page(browser, server.address)
    page.choose(5)  # the second woman's femur
    page.press("s")
    page.until("document.querySelector('#exam-name').textContent === 'visit-1'")
    assert page.page.locator("#exam-charts svg").count() == 4
    listed = page.page.evaluate("[...document.querySelectorAll('#exam-rows .title')].map(t => t.textContent)")
    assert listed == ["visit-0", "visit-1", "visit-2"]
    page.press("ArrowUp")
    page.until("document.querySelector('#exam-name').textContent === 'visit-0'")
    assert page.page.locator("#exam-status").text_content() == "To review"
    page.press("v")  # means nothing here: no frame is seen
    for _ in range(3):
        page.press("Tab")
    page.until("document.activeElement.className === 'shot'")
    name = page.page.evaluate("document.activeElement.querySelector('.title').textContent")
    page.press("Enter")
    page.until("name => document.querySelector('#name').textContent === name", name)
    assert page.page.locator("#stage").is_visible()
    page.press("s", "Escape")
    assert page.page.locator("#stage").is_visible()
    for n in (0, 5):
        page.choose(n)
        page.press("x")
        eventually(lambda n=n: actions(server, n), ["reject"])
    assert page.errors == []


def test_decided_examination_goes_down_the_list(browser, server):
    page = Page(browser, server.address)
    for n in (0, 1, 2):
        page.choose(n)
        page.press("v")
        version(server, n, 1)
    page.press("s")
    page.until("document.querySelector('#exam-rows .title').textContent === 'visit-1'")
    said = page.page.locator("#exam-0 .said").text_content()
    assert said == "accepted"


def test_checklist_by_keyboard(browser, server):
    page = Page(browser, server.address)
    page.press("k", "Tab", "Space")  # the second item: the thalami
    page.answered(1)
    assert stored(server, 0)["answer"]["ticks"] == {"head.thalami": True}
    page.press("Space")
    page.answered(2)
    assert stored(server, 0)["answer"]["ticks"] == {"head.thalami": False}
    page.until("document.activeElement.getAttribute('aria-label') === 'Thalami seen: not met, yours'")
    page.press("Space")
    page.answered(3)
    assert stored(server, 0)["answer"]["ticks"] == {}
    page.until("document.querySelector('#checklist-score').textContent === '2 of 6 · 4 open'")


def test_checklist_follows_presses_that_the_server_has_not_answered(browser, server):
    page = Page(browser, server.address)
    page.press("k")
    # in one turn of the page: met, not met, open, met, not met
    page.page.evaluate("""for (let i = 0; i < 5; i++) document.querySelector('[data-item="head.thalami"]').click()""")
    assert version(server, 0, 5)["answer"]["ticks"] == {"head.thalami": False}


def test_blinded_page_shows_no_outline_until_one_is_drawn(browser, home):
    with serving(home / "results", "--reader=Ann", "--blinded") as server:
        page = Page(browser, server.address)
        assert page.page.locator("#overlay ellipse").count() == 0
        assert page.page.locator("#who").text_content() == "Ann · blinded"
        assert page.page.locator("#export").is_disabled()
        assert "to read" in page.page.locator("#row-0 .said").text_content()
        page.press("h", "d", "Enter")
        assert page.page.locator("#tool-draw").get_attribute("aria-pressed") == "false"  # as after a drag
        state = version(server, 0, 2)
        assert state["answer"]["ellipse"]
        assert page.shown()["HC"] == pytest.approx(state["mm"]["hc_mm"], abs=0.01)
        page.press("v")
        shows(page, lambda found: found["HC"][0] == f"{state['mm']['hc_mm']:.1f} mm")
        page.press("b")
        page.until("document.querySelector('#toast').textContent.includes('without --blinded')")
        assert [e for e in page.errors if "404" not in e] == []


@pytest.fixture
def read_twice(home):
    read(home, "Ann", [1.0, 1.01, 1.0, 0.99, 1.02, 1.0, 1.01, 1.0, 1.0])
    read(home, "Bob", [1.1, 1.0, 1.01, 1.0, 0.98, 1.0, 1.0, 1.02, 0.98])
    return home


def test_adjudicator_takes_a_reading_by_a_key(browser, read_twice):
    with serving(read_twice / "results", "--reader=Cid", "--adjudicate") as server:
        page = Page(browser, server.address)
        assert page.page.locator("#readings button").count() == 3
        assert page.page.locator("#overlay .other").count() == 2
        page.page.locator("#readings button").nth(2).focus()
        page.press("9")
        page.answered(1)
        assert page.page.evaluate("document.activeElement.dataset.order") == "2"
        state = stored(server, 0)
        bob = state["readings"][2]
        assert bob["reader"] == "Bob"
        assert (state["answer"]["ellipse"], state["answer"]["decision"]) == (bob["answer"]["ellipse"], "accepted")
        page.press("b")
        page.page.wait_for_selector("#agreement[open]")
        captions = page.page.locator("#agreement caption").all_text_contents()
        assert captions[0].startswith("Machine − Ann: 9 frames")
        assert page.errors == []


def prepared(page: Page, view: str) -> None:
    if view == "examination":
        page.press("s")
        page.until("document.querySelectorAll('#exam-charts svg').length === 4")
    elif view == "agreement":
        page.press("b")
        page.page.wait_for_selector("#agreement[open]")
    else:
        page.press("k")
        brief(page)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["checklist and readings", "examination", "agreement"])
def test_axe_finds_nothing_serious_in_new_views_and_nothing_sticks_out(browser, read_twice, view, width):
    from axe_playwright_python.sync_playwright import Axe

    with serving(read_twice / "results", "--reader=Cid", "--adjudicate") as server:
        page = Page(browser, server.address, width, 900)
        prepared(page, view)
        found = Axe().run(page.page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.errors == []


def test_values_of_the_page_are_those_of_the_session(browser, server, home):
    from contextlib import ExitStack

    page = Page(browser, server.address)
    page.press("s")
    page.until("document.querySelectorAll('#exam-charts svg').length === 4")
    with ExitStack() as held:
        found = examinations.shown(Session.open(home / "results", "Ann", held), 0)
    rows = page.page.evaluate(
        "[...document.querySelectorAll('#exam-values tbody tr')].map(r => r.cells[1].textContent)"
    )
    assert rows == [f"{m['value']} {m['unit']}" for m in found["measures"].values()]
