"""A headless Chromium for tests, and what a user does in the dashboard. Without Chromium, the test is skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

T = TypeVar("T")

PICTURES = os.environ.get("MEMCRDT_PICTURES")  # a folder that keeps the pictures of the tests

UNKNOWN_READS = Path(__file__).parent / "unknown_reads.js"
PATIENCE_S = 30
MOST_STOPS = 60  # of Tab, around a whole page
POLL_S = 0.1  # between two looks at a condition
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it may run as root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,900",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Run a browser with a new profile in a folder, which writes to no network but the machine's own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or browser is None:
        pytest.skip("there is no chromium with chromedriver here")
    options: Any = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    page.set_page_load_timeout(PATIENCE_S)
    page.set_script_timeout(PATIENCE_S)
    try:
        yield page
    finally:
        page.quit()


def watch_reads(browser: Chrome) -> None:
    """Let the browser complain when a page reads a name from an answer that does not have it."""
    source = {"source": UNKNOWN_READS.read_text("utf-8")}
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)


def hurry(browser: Chrome) -> None:
    """Let pages ask again twice a second for what no event tells them, instead of every 2, 5 or 15 seconds."""
    source = "const every = setInterval; window.setInterval = (what, ms) => every(what, Math.min(ms, 500));"
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": f"{{ {source} }}"})


def unknown_reads(browser: Chrome) -> list[str]:
    """Leave the page, and return what it read from answers that do not have it."""
    browser.get("about:blank")
    return [each for each in errors_of(browser) if "the answer has no " in each]


def sign_in(browser: Chrome, home: Path, url: str, screen: str = "now") -> None:
    """Sign in by a new link, and open a screen."""
    browser.get("about:blank")
    from memcrdt.server.sessions import offer

    browser.get(f"{url}/#code={offer(home)}")
    until(browser, lambda: "Live" in text_of(browser))
    go(browser, screen)


def go(browser: Chrome, screen: str) -> None:
    """Open a screen."""
    browser.execute_script("location.hash = arguments[0]", f"#/{screen}")


def text_of(browser: Chrome) -> str:
    """Return the text of the page as it is seen."""
    return str(browser.execute_script("return document.body.innerText"))


def until(browser: Chrome, condition: Callable[[], T]) -> T:
    """Wait until a condition holds, and return what it returned."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE_S, POLL_S).until(lambda _: condition(), text_of(browser))


def click(browser: Chrome, name: str, within: str = "body") -> None:
    """Click the button with this text, as soon as it can be clicked."""

    def found() -> Any:
        script = (
            "return [...document.querySelectorAll(arguments[0] + ' button')]"
            ".find((each) => each.innerText.trim() === arguments[1] && each.offsetParent && !each.disabled)"
        )
        return browser.execute_script(script, within, name)

    browser.execute_script("arguments[0].click()", until(browser, found))


def fill(browser: Chrome, selector: str, value: str) -> None:
    """Type a text into a field."""
    script = (
        "const [field, value] = arguments; field.value = value;"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    field = until(browser, lambda: browser.execute_script("return document.querySelector(arguments[0])", selector))
    browser.execute_script(script, field, value)


def press(browser: Chrome, *keys: str) -> dict[str, str]:
    """Press real keys, and return what has the focus then: tag, name, where it leads, and the text around it."""
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()
    script = (
        "const on = document.activeElement;"
        "return {tag: on.tagName, name: (on.getAttribute('aria-label') ?? on.innerText).trim(),"
        " to: on.getAttribute('href') ?? '', around: on.closest('article')?.innerText ?? ''}"
    )
    return dict(browser.execute_script(script))


def tab_to(browser: Chrome, **wanted: str) -> None:
    """Press Tab until something has the focus whose parts, as press() returns them, have these texts."""
    from selenium.webdriver import Keys

    reached = []
    for _ in range(MOST_STOPS):
        reached.append(press(browser, Keys.TAB))
        if all(text in reached[-1][part] for part, text in wanted.items()):
            return
    raise AssertionError(f"Tab does not reach {wanted}, only {reached}")


def errors_of(browser: Chrome) -> list[str]:
    """Return what the browser complains of, such as a script that the policy forbids."""
    untyped: Any = browser  # selenium gives get_log() no types
    return [each["message"] for each in untyped.get_log("browser") if each["level"] == "SEVERE"]


def picture(browser: Chrome, name: str, folder: Path) -> None:
    """Take a picture of the screen in each theme, into a folder, and check that something is seen on it."""
    from PIL import Image

    size = tuple(browser.execute_script("return [innerWidth * devicePixelRatio, innerHeight * devicePixelRatio]"))
    corners = set()
    for theme in ("light", "dark"):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        path = Path(PICTURES or folder) / f"{name}-{theme}.png"
        browser.save_screenshot(str(path))
        with Image.open(path) as seen:
            assert seen.size == size, path.name
            assert seen.getcolors(maxcolors=1) is None, f"{path.name} has one color"
            corners.add(seen.getpixel((0, seen.height - 1)))
    assert len(corners) == 2, f"{name} looks the same in both themes"
    browser.execute_script("delete document.documentElement.dataset.theme")
