"""The lists of the page: what a row says is read whole, and a search says that it hides frames."""

from __future__ import annotations

import pytest

from tests.view.browser import Page
from tests.view.folder import row, save_rows, serving, write_examinations, write_results
from tests.view.test_browser import actions

NUMBERS = {"ellipse_px": [200, 150, 80, 60, 0], "spacing_mm": 0.9, "column_spacing_mm": 0.9}
CUT = """[...document.querySelectorAll('#list .said')].filter(e => {
    const row = e.closest('.row').getBoundingClientRect(), { top, bottom } = e.getBoundingClientRect();
    return e.scrollWidth > e.clientWidth || top < row.top || bottom > row.bottom;
}).map(e => e.textContent)"""


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_status_of_a_row_is_read_whole(browser, tmp_path, width):
    write_results(tmp_path, 2)
    paths = [tmp_path / "frames" / f"frame_{i:02d}.png" for i in range(2)]
    save_rows(tmp_path / "results", [row(path, "abdomen", "review", **NUMBERS) for path in paths])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address, width, 800)
        page.choose(0)
        page.press("3", "ArrowRight", "Escape", "v")
        page.answered(2)
        page.choose(1)
        page.press("3", "ArrowRight", "Escape")
        page.answered(1)
        page.until("document.querySelector('#row-1 .said').textContent === 'abdomen · to review, corrected'")
        assert page.page.locator("#row-0 .said").text_content() == "abdomen · accepted, corrected"
        assert page.page.evaluate(CUT) == []


def test_corrected_frame_is_to_review_until_it_is_accepted_also_a_refused_one(browser, tmp_path):
    write_results(tmp_path, 1)
    refused = row(tmp_path / "frames" / "frame_00.png", "head", "refused", **NUMBERS)
    save_rows(tmp_path / "results", [refused])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        assert page.page.locator("#status").text_content() == "Refused"
        page.press("3", "ArrowRight", "Escape")
        page.until("document.querySelector('#row-0 .said').textContent === 'head · to review, corrected'")
        page.until("document.querySelector('#status').textContent === 'To review · corrected'")
        page.until("document.querySelector('#progress').textContent.includes('1 to review')")
        page.press("v")
        page.until("document.querySelector('#progress').textContent.includes('0 to review')")


def test_progress_of_a_blinded_reader_counts_the_frames_to_read(browser, tmp_path):
    write_results(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann", "--blinded") as server:
        page = Page(browser, server.address)
        assert page.page.locator("#progress").text_content() == "0 of 2 decided · 2 to read"
        page.press("x")
        page.until("document.querySelector('#progress').textContent === '1 of 2 decided · 1 to read'")
        page.press("N", "x")
        page.until("document.querySelector('#progress').textContent === '2 of 2 decided · 0 to read'")


def test_name_that_is_cut_is_in_a_tooltip(browser, tmp_path):
    write_results(tmp_path, 1)
    name = "a_frame_of_a_very_long_name_whose_end_is_what_matters_0123456789"
    path = (tmp_path / "frames" / "frame_00.png").rename(tmp_path / "frames" / f"{name}.png")
    save_rows(tmp_path / "results", [row(path, "head", "review", **NUMBERS)])
    with serving(tmp_path / "results", "--reader=Ann") as server:
        title = Page(browser, server.address).page.locator("#row-0 .title")
        assert title.evaluate("e => e.scrollWidth > e.clientWidth")
        assert title.get_attribute("title") == name


ROWS = "n => [...document.querySelectorAll('#list .row')].length === n"


def test_search_says_what_it_hides_and_one_click_shows_all(browser, tmp_path):
    write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        found, progress = page.page.locator("#found-said"), page.page.locator("#progress")
        assert not found.is_visible()
        page.press("/")
        page.page.keyboard.type("W0_")
        page.until(ROWS, 3)
        assert found.text_content() == "3 of 6 frames"
        assert "3 hidden by a search" in progress.text_content()
        page.press("Enter", "s")  # the examinations have a text of their own
        assert page.page.input_value("#filter") == ""
        assert not found.is_visible()
        assert "3 hidden by a search" in progress.text_content()
        page.page.fill("#filter", "visit-1")
        assert found.text_content() == "1 of 2 examinations · not the one in sight"
        page.press("Enter", "s")
        assert page.page.input_value("#filter") == "W0_"
        assert found.text_content() == "3 of 6 frames"
        page.page.click("#show-all")
        page.until(ROWS, 6)
        assert page.page.input_value("#filter") == ""
        assert not found.is_visible()
        assert "hidden" not in progress.text_content()
        assert page.errors == []


def test_enter_opens_the_first_that_is_found_and_keys_decide_about_that(browser, tmp_path):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        page.press("/")
        page.page.keyboard.type("frame_02")
        page.until("document.querySelector('#found-said').textContent === '1 of 4 frames · not the one in sight'")
        page.press("Enter")
        page.shows(2)
        assert page.page.locator("#found-said").text_content() == "1 of 4 frames"
        page.press("v")
        page.answered(1)
        assert (actions(server, 0), actions(server, 2)) == ([], ["accept"])


@pytest.mark.parametrize(("text", "opened"), [("frame_1", 3), ("FRAME_1", 3), ("frame", 1), ("a", 0)])
def test_enter_opens_the_frame_that_is_named_so_before_one_that_contains_it(browser, tmp_path, text, opened):
    write_results(tmp_path, 4)
    rows = []
    for i, name in enumerate(("a_frame_1", "frame_12", "b_frame_1", "frame_1")):
        path = (tmp_path / "frames" / f"frame_{i:02d}.png").rename(tmp_path / "frames" / f"{name}.png")
        rows.append(row(path, "head", "review", **NUMBERS))
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(2)
        page.press("/")
        page.page.keyboard.type(text)
        page.press("Enter")
        page.shows(opened)


@pytest.mark.parametrize("tab", ["frames", "examinations"])
def test_letters_typed_after_show_all_are_keys(browser, tmp_path, tab):
    write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        if tab == "examinations":
            page.press("s")
        page.page.fill("#filter", "1")
        page.page.click("#show-all")
        page.press(*("s" if tab == "examinations" else ""), "v")
        page.answered(1)
        assert page.page.input_value("#filter") == ""
        assert actions(server, 0) == ["accept"]


def test_letters_typed_after_a_search_that_finds_nothing_decide_nothing(browser, tmp_path):
    write_results(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.press("/")
        page.page.keyboard.type("100_HC")
        page.press("Enter", "v", "x")
        assert page.page.input_value("#filter") == "100_HCvx"
        assert page.page.locator("#status").text_content() == "To review"
        assert page.errors == []


def test_enter_opens_the_first_examination_that_is_found(browser, tmp_path):
    write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.press("s")
        page.page.fill("#filter", "visit-1")
        page.press("Enter")
        page.until("document.querySelector('#exam-name').textContent === 'visit-1'")


def test_list_of_examinations_has_the_status_of_their_page(browser, tmp_path):
    rows = write_examinations(tmp_path, 3)
    rows[6]["hc_mm"] *= 0.6  # no fetus has this head and these other sizes
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(6)
        page.press("s")
        page.until("document.querySelector('#exam-status').textContent === 'To review'")
        order = "[...document.querySelectorAll('#exam-list .row')].map(r => r.id)"
        assert page.page.evaluate(order) == ["exam-0", "exam-2", "exam-1"]
        assert page.page.locator("#exam-2 .said").text_content() == "to review"


def test_end_of_a_list_says_what_a_search_hides(browser, tmp_path):
    write_results(tmp_path, 4)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.press("/")
        page.page.keyboard.type("frame_02")
        page.until(ROWS, 1)
        page.press("Enter")
        page.shows(2)
        page.press("ArrowRight")
        page.said("No further frame. A search hides 3 frames.")
        page.press("v")
        page.answered(1)
        page.press("n")
        page.said("No frame is without a decision. A search hides 3 frames.")
