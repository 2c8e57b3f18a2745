"""An open page while frames are measured again: no value of an earlier measurement stays in sight."""

from __future__ import annotations

from typing import Any

from fetal_jax.outputs.rows import Row
from tests.view.browser import Page
from tests.view.folder import save_rows, serving, write_examinations

AC = "document.querySelector('#brief tbody tr:nth-child(4) td')?.textContent"
WHOLE_AC = "document.querySelector('#exam-values tbody tr:nth-child(4) td')?.textContent"
LISTED = "[...document.querySelectorAll('#exam-list .row .title')].map(e => e.textContent).join()"


def larger(rows: list[Row], *numbers: int) -> list[Row]:
    """The rows, those of these numbers with a scale of 1.1 times theirs."""

    def grown(row: Row) -> Row:
        return row | {key: 1.1 * v for key, v in row.items() if key.endswith("_mm") and isinstance(v, float)}

    return [grown(row) if n in numbers else row for n, row in enumerate(rows)]


def shows_ac(page: Page, row: Row, of: str = AC) -> None:
    page.until(f"mm => {of} === mm", f"{row['ac_mm']:.1f} mm")


def test_examination_follows_its_other_frames(browser: Any, tmp_path):
    rows = write_examinations(tmp_path, 1)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        shows_ac(page, rows[1])
        again = larger(rows, 1)
        save_rows(tmp_path / "results", again)
        shows_ac(page, again[1])  # beside the head, which was not measured again
        page.press("s")
        shows_ac(page, again[1], WHOLE_AC)
        save_rows(tmp_path / "results", rows)
        shows_ac(page, rows[1], WHOLE_AC)
        assert page.errors == []


def test_frame_has_its_own_examination_beside_it_after_arrows_went_through_others(browser: Any, tmp_path):
    rows = larger(write_examinations(tmp_path, 2), 3, 4, 5)
    save_rows(tmp_path / "results", rows)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        page.press("s", "ArrowRight")
        shows_ac(page, rows[4], WHOLE_AC)
        page.press("s")
        shows_ac(page, rows[1])
        assert page.page.locator("#name").text_content() == "w0_head"
        page.drag("long1", 20, 10)  # nor do handles bring the other one back
        page.answered(1)
        shows_ac(page, rows[1])


def test_examination_without_frames_is_left_and_is_not_listed(browser: Any, tmp_path):
    rows = write_examinations(tmp_path, 2)
    with serving(tmp_path / "results", "--reader=Ann") as server:
        page = Page(browser, server.address)
        page.choose(0)
        page.press("s", "ArrowRight")
        shows_ac(page, rows[4], WHOLE_AC)
        same = {key: rows[0][key] for key in ("examination", "patient")}
        save_rows(tmp_path / "results", [row | same for row in rows])
        page.until("document.querySelector('#examination').hidden")
        page.press("s")
        page.until(f"{LISTED} === 'visit-0'")
        page.page.fill("#filter", "visit")
        assert page.page.locator("#found-said").text_content() == "1 of 1 examinations"
        assert page.errors == []
