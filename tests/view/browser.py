"""Debian's Chromium under Playwright; skipped with the reason where it is not installed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
REQUIRED = "FETAL_BROWSER_TESTS"
"""Environment variable that turns the skip into a failure."""
TOASTS = """
    addEventListener("DOMContentLoaded", () => {
        window.toasts = [];
        const box = document.querySelector("#toast");
        new MutationObserver(() => toasts.push(box.textContent)).observe(box, { childList: true });
    });
"""
"""Keeps what the page says in passing, so that no test must look at the right time."""
PATIENCE = 120.0
"""Seconds: how long a page that does not answer is waited for, on a machine that has other work too."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    try:
        from playwright.sync_api import sync_playwright

        missing = "" if CHROMIUM.is_file() else f"no {CHROMIUM}: apt-get install chromium"
    except ImportError:
        missing = "no playwright: pip install '.[test]'"
    if missing and os.environ.get(REQUIRED) == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page of a server, as a person uses it."""

    def __init__(self, browser: Any, address: str, width: int = 1440, height: int = 900, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.context.set_default_timeout(1000 * PATIENCE)
        self.page = self.context.new_page()
        self.page.add_init_script(TOASTS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.on("dialog", lambda d: (self.errors.append(f"dialog: {d.message}"), d.dismiss()))
        self.open(address)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.ready()

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("body[data-ready=true]")

    def until(self, expression: str, argument: object = None, seconds: float = PATIENCE) -> None:
        """Wait for an expression to be true. Playwright's `wait_for_function` needs eval, which the page forbids.

        An expression that meets an element that is not there yet is not true yet.
        """
        end = time.monotonic() + seconds
        while not self._holds(expression, argument):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def _holds(self, expression: str, argument: object) -> bool:
        try:
            return bool(self.page.evaluate(expression, argument))
        except Exception as e:
            if "properties of null" not in str(e):
                raise
            return False

    def choose(self, n: int) -> None:
        """Show the frame of a number by a click in the list."""
        self.page.locator(f"#row-{n}").click()
        self.shows(n)

    def shows(self, n: int) -> None:
        """Wait until the frame of a number is shown: the page takes the mark away as soon as a frame is asked for."""
        self.until("n => document.body.dataset.shown === String(n)", n)

    def number(self) -> int:
        """The number of the frame in sight, once the one that was asked for is there."""
        self.until("'shown' in document.body.dataset")
        return int(self.page.evaluate("document.body.dataset.shown"))

    def answered(self, events: int) -> None:
        """Wait until the page has the server's reply to the frame's event of this number; it lists the last eight."""
        self.until("n => document.querySelectorAll('#history li').length === n", events)

    def said(self, *texts: str) -> None:
        """Wait until the page has said these at one time."""
        self.until("texts => toasts.some(said => texts.every(text => said.includes(text)))", list(texts))

    def handle(self, name: str) -> tuple[float, float]:
        """Centre of a handle on the screen."""
        box = self.page.locator(f"[data-handle={name}] .dot").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, name: str, dx: float, dy: float, release: bool = True) -> None:
        x, y = self.handle(name)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx / 2, y + dy / 2)
        self.page.mouse.move(x + dx, y + dy)
        if release:
            self.page.mouse.up()

    def shown(self) -> dict[str, float]:
        """Label -> exact value of the panel's table."""
        rows = self.page.locator("#values tbody tr").all()
        cells = [(r.locator("th").text_content(), r.locator("td").first.get_attribute("data-exact")) for r in rows]
        return {label: float(exact) for label, exact in cells if label and exact}

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
