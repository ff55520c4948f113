"""Pages of the dashboard in Debian's Chromium, driven by Playwright; nothing is downloaded for it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.support.gateway import Stack
from tests.support.node import ROOT

WAIT_MS = 15_000
PAGES = ("/", "/positions", "/executions", "/analytics", "/risk", "/monitoring", "/login")
# Told by the browser itself, whether the page has noticed or not
VIOLATIONS = """addEventListener("securitypolicyviolation",
    event => console.error("policy violated: " + event.violatedDirective + " " + event.blockedURI))"""
GO = "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')) }"


def build_dashboard() -> None:
    """What is tested is what is in the tree: the page is built from these very sources."""
    subprocess.run(["make", "--no-print-directory", "dashboard"], cwd=ROOT, check=True, timeout=300)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "Chromium must be installed, and is not on the path: run ops/system-packages browser"
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Terminal:
    """The pages of one test, each in a browser profile of its own.

    errors   what the pages reported; a test that brings one about takes it out
    sent     every request of every page
    """

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self.browser, self.stack = browser, stack
        self.contexts: list[BrowserContext] = []
        self.errors: list[str] = []
        self.sent: list[Request] = []

    def blank(
        self, *, width: int = 1440, height: int = 900, scheme: Literal["dark", "light"] = "dark", scale: float = 1
    ) -> Page:
        """A page that has loaded nothing."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            device_scale_factor=scale,
            has_touch=width < 760,
            timezone_id="UTC",
            locale="en-GB",
        )
        self.contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(VIOLATIONS)
        page = context.new_page()
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.sent.append(request))
        return page

    def open(
        self, path: str = "/", *, width: int = 1440, height: int = 900, scheme: Literal["dark", "light"] = "dark"
    ) -> Page:
        """A page at a path, nobody logged in."""
        page = self.blank(width=width, height=height, scheme=scheme)
        page.goto(self.stack.url + path)
        return page

    def log_in(self, page: Page, key_id: str, path: str = "/") -> Page:
        """By the form; then to a path, the book being live."""
        page.goto(self.stack.url + "/login")
        page.fill("#key-id", key_id)
        page.fill("#key-secret", self.stack.secret(key_id))
        if key_id == "admin":
            page.select_option("#session-use", "admin")
        page.click("#log-in")
        page.wait_for_selector("#who")
        page.wait_for_selector('#connection[data-state="live"]')
        if path != "/":
            self.go(page, path)
        return page

    def trader(self, key_id: str, path: str = "/", **how: int) -> Page:
        """A page on which the key is logged in."""
        return self.log_in(self.blank(**how), key_id, path)

    @staticmethod
    def go(page: Page, path: str) -> None:
        """As a click on a link does: without loading anything anew."""
        page.evaluate(GO, path)

    def close(self) -> None:
        """All of them."""
        for context in self.contexts:
            context.close()
