"""What a reader has not seen, or has not meant, is neither accepted nor taken back unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.view.browser import Page
from tests.view.folder import serving, write_examinations, write_results
from tests.view.test_browser import actions, eventually, stored

PLANE = "document.querySelector('#planes input:checked').value"


@pytest.fixture
def home(tmp_path):
    write_results(tmp_path, 6)
    return tmp_path


def test_values_of_the_next_frame_are_in_sight_where_the_panel_was_scrolled(browser, tmp_path):
    write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address, 1280, 720)
        page.choose(0)
        page.page.locator("#brief").wait_for(state="visible")
        page.page.locator(".history summary").focus()  # the browser scrolls to it
        top = "document.querySelector('#values').getBoundingClientRect().top >= 56"  # below the bar
        page.until(f"!({top})")
        page.press("ArrowRight")
        page.shows(1)
        assert page.page.evaluate(top)


@pytest.mark.parametrize("by", ["click", "keys"])
def test_arrow_after_a_plane_was_chosen_and_accepted_changes_no_plane(browser, server, by):
    page = Page(browser, server.address)
    page.choose(0)
    if by == "click":
        page.page.locator("#planes label").nth(1).click()
    else:
        page.page.locator("#planes input:checked").focus()
        page.press("ArrowRight")
    assert page.page.evaluate(PLANE) == "abdomen"
    page.press("v", "ArrowRight")
    page.until("document.body.dataset.shown && document.body.dataset.shown !== '0'")
    eventually(lambda: actions(server, 0), ["plane", "accept"])


def test_arrow_after_a_click_on_a_plane_or_a_list_goes_on(browser, tmp_path):
    write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        for n, label in ((1, "#planes label:nth-of-type(3)"), (2, "#tabs label:nth-of-type(1)")):
            page.page.locator(label).click()
            page.press("ArrowRight")
            page.shows(n)
        eventually(lambda: actions(server, 0), ["plane"])


def test_page_says_that_the_same_key_takes_the_decision_back(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    page.answered(1)
    page.press("v")
    page.said("No longer accepted. U undoes the change.")
    page.press("u")
    eventually(lambda: stored(server, 0)["answer"]["decision"], "accepted")


def test_frame_without_a_picture_is_rejected_but_not_accepted(browser, server, home):
    for picture in (*home.glob("frames/frame_00.png"), *home.glob("results/overlays/*")):
        picture.unlink()
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    page.said("There is no picture, so nothing can be accepted. X rejects the frame.")
    page.press("x")
    eventually(lambda: actions(server, 0), ["reject"])


def test_export_counts_the_frames_without_a_decision(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("v")
    page.answered(1)
    page.press("e")
    page.said("Exporting …")
    page.page.wait_for_selector("#exported[open]")
    assert "5 of 6 frames are without a decision." in page.page.locator("#exported-text").text_content()
    assert "named by its number in corrections.csv" in page.page.locator("#exported-text").text_content()


def test_drawing_ends_with_its_frame(browser, server):
    page = Page(browser, server.address)
    page.choose(0)
    page.press("d", "ArrowRight")
    page.until("document.body.dataset.shown && document.body.dataset.shown !== '0'")
    n = page.number()
    assert page.page.locator("#tool-draw").get_attribute("aria-pressed") == "false"
    page.press("Enter", "v")  # Enter puts an outline in the middle while the tool is chosen
    eventually(lambda: actions(server, n), ["accept"])


def test_page_says_why_there_is_no_picture_and_where_the_overlay_comes_from(browser, tmp_path):
    rows = write_results(tmp_path, 4)
    gone, damaged, with_overlay = (Path(row["file"]) for row in rows[:3])
    with_overlay.rename(tmp_path / "results" / rows[2]["overlay"])
    with_overlay.write_bytes(b"cut short")
    gone.unlink()
    damaged.write_bytes(b"cut short")
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page, note = Page(browser, server.address, 640, 400), "document.querySelector('#note')"
        for n, said in (
            (0, "No picture: the frame is not where it was measured, or has changed since: bring the file back"),
            (1, f"No picture: {damaged} is not a readable image: give PNG, JPEG, TIFF, BMP or DICOM"),
            (2, "The frame is gone, changed or damaged: this is the overlay that measure drew."),
            (3, ""),
        ):
            page.page.goto(f"{server.address}#n={n}")
            page.reload()
            page.shows(n)
            assert page.page.evaluate(f"{note}.textContent") == said
            assert page.page.evaluate(f"{note}.scrollWidth <= {note}.clientWidth")
