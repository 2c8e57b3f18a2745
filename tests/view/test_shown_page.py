"""What the page shows beside the picture: doubts, counts, columns, what is chosen."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from tests.view.browser import Page
from tests.view.folder import row, save_rows, serving, write_examinations, write_results
from tests.view.test_browser import version
from tests.view.test_readers import as_reader, read

NUMBERS = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.9, "column_spacing_mm": 0.9}
REASON = "the outline is soft on the left side; the value may be off by more than 5 % (probability 15 %)"
DOUBTFUL = NUMBERS | {"low_mm": 390.25, "high_mm": 402.5, "reason": REASON}
DOUBTFUL |= {"flags": ["leaves the frame", "low confidence", "row spacing assumed"]}
NOTED = "noted: the head leaves the picture; row spacing assumed"
RANGES = """[...document.querySelectorAll('#values tbody tr:first-child td')].map(cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return [range.getBoundingClientRect().left, range.getBoundingClientRect().right];
})"""
SEEN = "e => JSON.stringify(['backgroundColor', 'borderTopColor', 'color'].map(name => getComputedStyle(e)[name]))"


@pytest.fixture
def doubtful(tmp_path):
    write_results(tmp_path, 1)
    save_rows(tmp_path / "results", [row(tmp_path / "frames" / "frame_00.png", "head", "review", **DOUBTFUL)])
    return tmp_path / "results"


def test_doubts_and_interval_of_the_machine_are_shown(browser, doubtful):
    with serving(doubtful, "--reader=Ann") as server:
        page = Page(browser, server.address)
        reason, interval = page.page.locator("#reason"), page.page.locator("#interval")
        assert reason.text_content() == f"{REASON}; {NOTED}"
        assert interval.text_content() == "Machine’s 90 % interval 390.3–402.5 mm"
        page.drag("long1", 20, 10)
        page.answered(1)
        assert reason.text_content() == f"The machine said: {REASON}; {NOTED}"
        page.press("a")
        page.answered(2)
        assert not interval.is_visible()  # it is about a head


def test_flag_is_not_noted_beside_a_reason_with_another_remedy(tmp_path):
    rows = write_results(tmp_path, 1)
    reason = "no spacing: no ruler was found: give --spacing-mm or --spacing-csv"
    flags = ["low confidence", "no spacing"]
    save_rows(tmp_path / "results", [rows[0] | {"status": "refused", "reason": reason, "flags": flags}])
    with ExitStack() as held:
        assert as_reader(tmp_path, held, "Ann").frame(0)["noted"] == ["the outline is soft"]


def test_blinded_reader_is_not_told_the_doubts(doubtful):
    with ExitStack() as held:
        found = as_reader(doubtful.parent, held, "Bob", "blinded").frame(0)
    assert found["noted"] == []
    assert "leaves the picture" not in json.dumps(found)


@pytest.mark.parametrize("leave", ["Escape", "clear"])
def test_list_is_whole_again_after_a_search(browser, tmp_path, leave):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        rows, none = page.page.locator("#list .row"), page.page.get_by_text("No frame found.")
        page.press("/")
        page.page.keyboard.type("frame_02")
        page.until("document.querySelectorAll('#list .row').length === 1")
        page.page.keyboard.type("x")
        none.wait_for(state="visible")
        assert rows.count() == 0
        page.press("Escape") if leave == "Escape" else page.page.fill("#filter", "")
        page.until("document.querySelectorAll('#list .row').length === 4")
        assert page.page.input_value("#filter") == ""
        assert not none.is_visible()


@pytest.mark.parametrize("refused", [True, False])
def test_examination_counts_decisions_and_says_accepted(browser, tmp_path, refused):
    rows, decided = write_examinations(tmp_path, 1), 2 if refused else 3
    if refused:
        rows[2] |= {"status": "refused", "reason": "why not"} | dict.fromkeys(("fl_mm", "ga_weeks", "ga_standard"))
        save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        count = page.page.locator("#exam-0 .value")
        page.choose(0)
        page.press("s")
        page.until("document.querySelector('#exam-status').textContent === 'To review'")
        assert count.text_content() == "0 of 3 decided"
        page.press("s")
        for n in range(decided):
            page.choose(n)
            page.press("v")
            page.answered(1)
        page.press("s")
        page.until("document.querySelector('#exam-status').textContent === 'Accepted'")
        column = "[...document.querySelectorAll('#exam-values tbody tr')].map(r => r.cells[5].textContent)"
        assert page.page.evaluate(column) == ["Accepted"] * 4 + ["No value" if refused else "Accepted"] * 2
        assert count.text_content() == f"{decided} of 3 decided"
        page.press("s")
        page.press("1", "ArrowRight", "Escape")
        page.answered(2)
        page.press("s")
        page.until("document.querySelector('#exam-status').textContent === 'To review'")


@pytest.mark.parametrize("width", [1024, 1100, 1180, 1181, 1440])
def test_big_value_ends_before_the_machines(browser, doubtful, width):
    with serving(doubtful, "--reader=Ann") as server:
        (_, end), (start, _) = Page(browser, server.address, width, 768).page.evaluate(RANGES)
    assert end < start


def test_what_is_chosen_is_seen_in_high_contrast(browser, tmp_path):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address, forced_colors="active")
        pairs = {
            "#list .row[aria-selected=true]": "#list .row[aria-selected=false]",
            "#planes input:checked + span": "#planes input:not(:checked) + span",
            "#tool-magnifier": "#tool-window",
        }
        for chosen, other in pairs.items():
            one, two = (page.page.locator(name).first.evaluate(SEEN) for name in (chosen, other))
            assert one != two, chosen


def test_magnifier_goes_with_the_pointer_and_comes_with_a_key(browser, tmp_path):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page, on = Page(browser, server.address), "document.querySelector('#magnifier').classList.contains('on')"
        page.drag("centre", 20, 10, release=False)
        page.until(on)
        page.page.mouse.up()
        page.until(f"!{on}")
        page.press("ArrowRight")
        page.until(on)


def test_key_of_the_fit_resets_window_and_level(browser, tmp_path):
    write_results(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page, picture = Page(browser, server.address), "document.querySelector('#picture').toDataURL()"
        before = page.page.evaluate(picture)
        page.press("[", "[", "[", ".")
        page.until(f"b => {picture} !== b", before)
        page.press("0")
        page.until(f"b => {picture} === b", before)


def test_rows_without_a_value_have_no_rules(browser, tmp_path):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(2)  # a femur has one value, and an age
        rows = "[...document.querySelectorAll('#values tbody tr')]"
        rules = page.page.evaluate(f"{rows}.map(r => getComputedStyle(r.cells[0]).borderBottomColor)")
    assert rules[1] == rules[2] == "rgba(0, 0, 0, 0)"
    assert rules[0] == rules[3] != rules[1]


def test_agreement_of_one_frame_and_of_none(browser, tmp_path):
    write_examinations(tmp_path, 1)
    read(tmp_path, "Ann", [1.0])
    with serving(tmp_path / "results", "--reader=Bob") as server:
        page = Page(browser, server.address)
        page.choose(1)
        page.press("v")
        version(server, 1, 1)
        page.press("b")
        page.page.wait_for_selector("#agreement[open]")
        captions = page.page.locator("#agreement caption").all_text_contents()
        assert [c.split(",")[0] for c in captions] == ["Machine − Ann: 1 frame", "Machine − Bob: 1 frame"]
        assert page.page.locator("#agreement p", has_text="Ann − Bob: 0 frames").count() == 1
