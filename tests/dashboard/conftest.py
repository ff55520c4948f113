"""A running stack, a browser, and what no test leaves unsaid: errors of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Terminal, build_dashboard, chromium
from tests.support.gateway import Stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module, each page with a profile of its own.

    As long as it lives its loop counts as running in this thread, and no test elsewhere could have one.
    """
    build_dashboard()
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One engine and one gateway for the tests of a module."""
    with Stack(tmp_path_factory.mktemp("stack")) as found:
        yield found


@pytest.fixture
def terminal(browser: Browser, stack: Stack) -> Iterator[Terminal]:
    """Opens pages. An error on a page, or something that the policy of the page forbids, fails the test."""
    for key_id in ("alice", "bob", "carol", "dave"):
        status, answer = stack.signed(key_id, "POST", "/api/v1/controls/cancel-all", json={})
        assert status == 200, answer
    found = Terminal(browser, stack)
    yield found
    found.close()
    assert found.errors == []
