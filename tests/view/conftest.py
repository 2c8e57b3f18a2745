"""The browser, and a server of the folder that a test file draws as `home`."""

from __future__ import annotations

import pytest

from tests.view.browser import chromium
from tests.view.folder import serving


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(home):
    with serving(home / "results", "--reader=Ann") as server:
        yield server
