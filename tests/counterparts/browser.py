"""A real Chromium (the distribution's) driven by Playwright, which can reach nothing but this machine."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-quic",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
Scheme = Literal["light", "dark"]
PageAt = Callable[..., "Tab"]


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of its own (no cookies shared), and what went wrong in it.

    `problems` holds console errors and warnings, uncaught errors, failed requests and answers of 400 and above, each a
    line. What Chromium cancels itself when a page is left (net::ERR_ABORTED) is no problem.
    """

    page: Page
    folder: Path
    problems: list[str] = field(default_factory=list)

    def open(self, url: str) -> Page:
        self.page.goto(url, wait_until="domcontentloaded")
        return self.page

    def screenshot(self, name: str, *, full: bool = True) -> Path:
        """Writes NAME.png into $SCREENSHOTS, or a temporary folder, and says where."""
        path = self.folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.png"
        self.page.screenshot(path=path, full_page=full)
        return path


def executable() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> str | None:
    """Why no browser can run here, or None."""
    return None if executable() else "Chromium is not installed"


@contextmanager
def running() -> Iterator[Browser]:
    """Starts Chromium. While it runs, this thread has an event loop: no asyncio.run beside it."""
    expect.set_options(timeout=20_000)  # as long as a page waits for anything else: other tests want the machine too
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def pages(browser: Browser, folder: Path) -> Iterator[PageAt]:
    """A function `(width, height, scheme) -> Tab`; its pages close with the `with`."""
    folder = Path(os.environ.get("SCREENSHOTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    contexts = []

    def page_at(width: int = 1280, height: int = 900, scheme: Scheme = "light") -> Tab:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(20_000)
        return _watched(Tab(context.new_page(), folder))

    try:
        yield page_at
    finally:
        for context in contexts:
            context.close()


def _watched(tab: Tab) -> Tab:
    page, note = tab.page, tab.problems.append
    page.on("console", lambda m: note(f"console {m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: note(f"uncaught: {error}"))
    page.on(
        "requestfailed", lambda r: note(f"failed: {r.url} {r.failure}") if r.failure != "net::ERR_ABORTED" else None
    )
    page.on("response", lambda r: note(f"{r.status}: {r.url}") if r.status >= 400 else None)
    return tab


def rested(page: Page) -> Page:
    """The same page once the server has nothing more to say."""
    page.wait_for_timeout(700)  # a chart is drawn after its element is there, and a click is not sent at once
    expect(page.locator("[data-testid=stApp]")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=60_000
    )
    return page
