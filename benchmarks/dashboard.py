"""Measure how smoothly the dashboard scrolls through many memories, in a headless Chromium.

    python benchmarks/dashboard.py [--memories 100000] [--pixels 4500] [--seconds 300]

It needs Chromium, chromedriver and selenium. The list of all memories scrolls down by a fixed way a frame (--pixels),
by default five screens, until its end or until the time is over; then it scrolls all the way up again. A frame is the
time between two calls of requestAnimationFrame. A list that draws too much gets slower the longer it is, so the first
and the last tenth of the way down stand beside each other. Beside them: an empty page of the same browser that scrolls
in the same way, which is the least that a frame takes here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

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
_SCROLL: Final = r"""
const [way, most_s] = arguments;
window.scrolled = null;
const frames = [];
const begun = performance.now();
let last = null;
let still = 0; // frames without a way: the next page is awaited
let waited = 0;
const step = (now) => {
  if (last !== null) frames.push(now - last);
  last = now;
  const before = scrollY;
  scrollBy(0, way);
  still = scrollY === before ? still + 1 : 0;
  if (still) waited += 1;
  const said = document.querySelector(".end")?.textContent ?? "0"; // "1,200 memories so far"
  const isAtEnd = way < 0 ? scrollY === 0 : still > 0 && !said.includes("so far");
  const loaded = Number(said.replace(/\D/g, ""));
  if (isAtEnd || now - begun > 1000 * most_s) window.scrolled = [frames, loaded, (now - begun) / 1000, waited];
  else requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


class Scrolled(NamedTuple):
    """A way through the list: the time of each frame in seconds, what was loaded at its end, and how long it took."""

    frames: list[float]
    loaded: int
    took_s: float
    waited: int  # frames in which nothing moved, because the next page was awaited


def scrolled(browser: Any, way: int, most_s: int) -> Scrolled:
    """Scroll by `way` pixels a frame, to the end or for so long."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.execute_script(_SCROLL, way, most_s)  # one call of the driver may not take as long as the way
    waiting = WebDriverWait(browser, 2 * most_s + 60, 1)
    frames, *others = waiting.until(lambda _: browser.execute_script("return window.scrolled"))
    return Scrolled([ms / 1e3 for ms in frames], *others)


def told(name: str, frames: list[float]) -> None:
    """Print the times of frames, and the part of them that was late."""
    late = sum(1 for each in frames if each * 1e3 > LATE_MS) / len(frames)
    print(f"{name}: {len(frames)} frames, {p50_p95(frames)}, longest {max(frames) * 1e3:.0f} ms, {late:.1%} over 50 ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--pixels", type=int, default=4_500, help="the way of one frame down")
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
    told("an empty page", scrolled(browser, given.pixels, 5).frames)
    browser.get(link)
    seen = WebDriverWait(browser, 60)
    seen.until(lambda _: "Live" in browser.execute_script("return document.body.innerText"))
    browser.execute_script("location.hash = '#/find'")
    seen.until(lambda _: browser.find_elements("css selector", "main section .card"))
    down = scrolled(browser, given.pixels, given.seconds)
    tenth = max(1, len(down.frames) // 10)
    told(f"down to memory {down.loaded:,} of {given.memories:,} in {down.took_s:.0f} s", down.frames)
    told("  the first tenth", down.frames[:tenth])
    told("  the last tenth", down.frames[-tenth:])
    print(f"  nothing moved in {down.waited / len(down.frames):.1%} of the frames, because a page was awaited")
    told("up again, at the same speed", scrolled(browser, -given.pixels, given.seconds).frames)
    drawn = browser.execute_script("return document.querySelectorAll('.card').length")
    heap = browser.execute_script("return performance.memory.usedJSHeapSize") / 2**20
    print(f"cards in the page at the end: {drawn}; {heap:.0f} MiB of JavaScript")


if __name__ == "__main__":
    main()
