"""Measure how smoothly the dashboard scrolls through many memories, in a headless Chromium.

    python benchmarks/dashboard.py [--memories 100000] [--pages 100] [--pixels 45]

It needs Chromium, chromedriver and selenium. The list of all memories scrolls down by a fixed way a frame (--pixels),
by default about three screens a second, until so many pages of 100 memories have been loaded; then it scrolls all the
way up again. A frame is the time between two calls of requestAnimationFrame. A list that draws too much gets slower
the longer it is, so the first and the last tenth of the way down stand beside each other. Beside them: an empty page
of the same browser that scrolls in the same way, which is the least that a frame takes here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from corpus import sentences
from figures import machine, p50_p95
from rest import serving

import memcrdt
from memcrdt.server.sessions import offer
from tests.server.browser import chromium

BATCH: Final = 5_000
LATE_MS: Final = 50.0  # three frames at 60 a second: an eye sees a jump
PAGE: Final = 100  # memories of a page of the list
_SCROLL: Final = """
const [way, most, most_s] = arguments;
window.scrolled = null;
const frames = [];
const begun = performance.now();
let last = null;
let still = 0;
const step = (now) => {
  if (last !== null) frames.push(now - last);
  last = now;
  const before = scrollY;
  scrollBy(0, way);
  still = scrollY === before ? still + 1 : 0;
  const pages = Math.floor(document.querySelectorAll("main section > div:not(.end)").length / 4);
  const isOver = still > 300 || pages >= most || (way < 0 && scrollY === 0) || now - begun > 1000 * most_s;
  if (isOver) window.scrolled = [frames, pages];
  else requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


def scrolled(browser: Any, way: int, pages: int, most_s: int) -> tuple[list[float], int]:
    """Scroll by `way` pixels a frame. Return the time of each frame in seconds, and the number of loaded pages."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.execute_script(_SCROLL, way, pages, most_s)  # one call of the driver may not take as long as the way
    waiting = WebDriverWait(browser, 2 * most_s + 60, 1)
    frames, loaded = waiting.until(lambda _: browser.execute_script("return window.scrolled"))
    return [ms / 1e3 for ms in frames], loaded


def told(name: str, frames: list[float]) -> None:
    """Print the times of frames, and the part of them that was late."""
    late = sum(1 for each in frames if each * 1e3 > LATE_MS) / len(frames)
    print(f"{name}: {len(frames)} frames, {p50_p95(frames)}, longest {max(frames) * 1e3:.0f} ms, {late:.1%} over 50 ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--pixels", type=int, default=45, help="the way of one frame down")
    parser.add_argument("--seconds", type=int, default=300, help="for each way at most")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")
        with memcrdt.open(home) as memory:
            texts = list(sentences(given.memories))
            for start in range(0, len(texts), BATCH):
                memory.add_many(texts[start : start + BATCH])
        with serving(home) as (url, _), chromium(Path(folder) / "profile") as browser:
            _measure(browser, f"{url}/#code={offer(home)}", given)


def _measure(browser: Any, link: str, given: argparse.Namespace) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get("about:blank")
    browser.execute_script("document.body.innerHTML = '<div style=\"height: 1000000px\"></div>'")
    told("an empty page", scrolled(browser, given.pixels, 1, 5)[0])
    browser.get(link)
    seen = WebDriverWait(browser, 60)
    seen.until(lambda _: "Live" in browser.execute_script("return document.body.innerText"))
    browser.execute_script("location.hash = '#/find'")
    seen.until(lambda _: browser.find_elements("css selector", "main section .card"))
    pages = min(given.pages, given.memories // PAGE)
    down, loaded = scrolled(browser, given.pixels, pages, given.seconds)
    tenth = max(1, len(down) // 10)
    told(f"down to memory {loaded * PAGE:,} of {given.memories:,}", down)
    told("  the first tenth", down[:tenth])
    told("  the last tenth", down[-tenth:])
    told("up again, at ten times the speed", scrolled(browser, -10 * given.pixels, 10**9, given.seconds)[0])
    drawn = browser.execute_script("return document.querySelectorAll('.card').length")
    print(f"cards in the page at the end: {drawn}")


if __name__ == "__main__":
    main()
