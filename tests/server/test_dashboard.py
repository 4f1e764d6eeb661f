"""The dashboard in a real browser: the link, the screens over two devices, hostile texts, and accessibility."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import memcrdt
from memcrdt.model.limits import TEXT_BYTES
from memcrdt.server.sessions import offer
from memcrdt.store.alarms import raise_alarm
from tests.npm import install
from tests.server.browser import PATIENCE_S, click, errors_of, fill, go, picture, sign_in, text_of, until
from tests.server.conftest import rivals

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NETWORK: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "mdns": False, "tailscale": False}
AXE = {"axe-core": "4.14.1"}
HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
    "\u202eevil txet\u2066 and <b>bold</b>",
    "javascript:alert(1) [a link](javascript:alert(1)) ${document.title}",
    "x" * TEXT_BYTES,
)
UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069]")  # of the hostile texts: the page shows a mark in place of each

READY = {  # what shows that a screen is there, if it is no card, form or table
    "conflict": ".sides article",
    "receipts": "section[aria-label=Receipts] li",
    "alarms": "section[aria-label=Alarms] li",
}
PRESSED = {  # by name: a screen, a button on it, and what it shows
    "pairing": ("devices", "Show a code", "svg.qr"),
    "revoking": ("devices", "Revoke", "dialog[open]"),
    "editing": ("memory", "Edit", "textarea"),
    "forgetting": ("memory", "Forget", "dialog[open]"),
    "forget-preview": ("forget", "Preview", "section[aria-label=Preview] .card"),
    "checked": ("alarms", "Check the store", "section[aria-label=Check] [role=status]"),
}

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(300)]


def _scrolled(browser: Chrome) -> bool:
    browser.execute_script("scrollTo(0, document.documentElement.scrollHeight)")
    return True


def test_a_link_works_once_and_the_session_stays_in_its_tab(browser: Chrome, home: Path, url: str) -> None:
    """The code is not left in the address or the history. Reloading keeps the session; signing out ends it."""
    browser.get("about:blank")
    link = f"{url}/#code={offer(home)}"
    page = home / "link.html"
    page.write_text(f'<meta http-equiv="refresh" content="0; url={link}">', encoding="utf-8")
    browser.get(page.as_uri())  # as the command opens it: the navigation comes from a file
    until(browser, lambda: "Live" in text_of(browser))
    assert "code" not in browser.current_url
    browser.refresh()
    until(browser, lambda: "Live" in text_of(browser))
    assert browser.get_cookies() == []
    assert browser.execute_script("return Object.values(localStorage)") == ["auto"]
    click(browser, "Sign out")
    until(browser, lambda: "memcrdt dashboard" in text_of(browser))
    browser.get("about:blank")
    browser.get(link)
    until(browser, lambda: "was used before" in text_of(browser))


def test_what_another_program_adds_appears_and_is_found(browser: Chrome, home: Path, url: str) -> None:
    """The feed is live. Search runs as the user types, marks the words, and says why."""
    sign_in(browser, home, url)
    with memcrdt.open(home) as memory:
        memory.add("Deploys go out on Tuesdays", scope="project/acme", tags=["release"], author="codex")
        memory.add("Ada prefers tea")
        until(browser, lambda: "Deploys go out" in text_of(browser) and "by codex" in text_of(browser))
        picture(browser, "now", home.parent)
        memory.add_many([{"text": f"Line {number} of a long import"} for number in range(500)])
        until(browser, lambda: "Line 499 of" in text_of(browser))
        until(browser, lambda: "502 memories added or changed" in text_of(browser))
        go(browser, "find")
        until(browser, lambda: "Line 499 of" in text_of(browser))
        until(browser, lambda: _scrolled(browser) and "Ada prefers tea" in text_of(browser))
        fill(browser, "input[type=search]", "deploys on tuesdays")
        until(browser, lambda: "Ada prefers" not in text_of(browser) and "1 memory" in text_of(browser))
        marked = browser.execute_script("return [...document.querySelectorAll('mark')].map((each) => each.innerText)")
        assert "Deploys" in marked
        browser.execute_script("document.querySelector('details.why').open = true")
        assert browser.execute_script("return document.querySelectorAll('.why dt').length") > 0
        assert "q=deploys" in browser.current_url
        click(browser, "Save this view")
        picture(browser, "find", home.parent)
        go(browser, "find?tags=release")
        until(browser, lambda: "Ada prefers" not in text_of(browser) and "Deploys" in text_of(browser))
        browser.execute_script("document.querySelector('.chips a').click()")
        until(browser, lambda: "q=deploys" in browser.current_url and "score" in text_of(browser))
    assert errors_of(browser) == []


def test_thousands_of_memories_scroll(browser: Chrome, home: Path, url: str) -> None:
    """Page after page loads until the oldest memory is seen. Only those near what is seen are drawn."""
    with memcrdt.open(home) as memory:
        memory.add_many([{"text": f"Line {number} of a long import"} for number in range(2_000)])
    sign_in(browser, home, url, "find")
    until(browser, lambda: "Line 1999 of" in text_of(browser))
    browser.execute_async_script(
        "const step = () => [...document.querySelectorAll('.card')].at(-1).innerText.includes('Line 0 of')"
        " ? arguments[0]() : (scrollTo(0, document.documentElement.scrollHeight), requestAnimationFrame(step));"
        "step();"
    )
    drawn = "return document.querySelectorAll('.card').length"
    until(browser, lambda: browser.execute_script(drawn) < 100)
    assert "Line 1999 of" not in text_of(browser)
    browser.execute_script("scrollTo(0, 0)")
    until(browser, lambda: "Line 1999 of" in text_of(browser) and browser.execute_script(drawn) < 100)
    assert errors_of(browser) == []


def test_a_page_of_a_list_that_fails_can_be_loaded_again(browser: Chrome, home: Path, url: str) -> None:
    """What is loaded stays. The list does not try by itself, but goes on when the user asks for it."""
    with memcrdt.open(home) as memory:
        memory.add_many([{"text": f"Line {number} of a long import"} for number in range(500)])
    sign_in(browser, home, url)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*cursor=*"]})
    go(browser, "find")
    until(browser, lambda: "Line 499 of" in text_of(browser))
    until(browser, lambda: _scrolled(browser) and "Try again" in text_of(browser))
    assert "Line 300 of" in text_of(browser)
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    click(browser, "Try again")
    until(browser, lambda: _scrolled(browser) and "Line 0 of" in text_of(browser))
    assert "Try again" not in text_of(browser)


def test_a_memory_is_edited_and_forgotten(browser: Chrome, home: Path, url: str) -> None:
    """The history shows the words that changed; the receipts follow."""
    with memcrdt.open(home) as memory:
        added = memory.add("Deploys go out on Tuesdays")
        sign_in(browser, home, url, f"memory/{added}")
        click(browser, "Edit")
        fill(browser, "textarea", "Deploys go out on Fridays")
        click(browser, "Save")
        until(browser, lambda: browser.execute_script("return document.querySelector('ins')?.innerText") == "Fridays")
        assert browser.execute_script("return document.querySelector('del').innerText") == "Tuesdays"
        assert memory.get(added).text == "Deploys go out on Fridays"
        click(browser, "Pin")
        until(browser, lambda: memory.get(added).pinned)
        picture(browser, "memory", home.parent)
        click(browser, "Forget", "main")
        click(browser, "Cancel", "dialog")
        click(browser, "Forget", "main")
        click(browser, "Forget", "dialog")
        until(browser, lambda: "no byte is left" in text_of(browser))
        assert len(memory.list()) == 0
    assert errors_of(browser) == []


def test_a_stale_edit_is_not_written(browser: Chrome, home: Path, url: str) -> None:
    """Another program changes the memory while the user types: the user is told, and loses nothing of it."""
    with memcrdt.open(home) as memory:
        added = memory.add("Deploys go out on Tuesdays")
        sign_in(browser, home, url, f"memory/{added}")
        click(browser, "Edit")
        browser.execute_script(
            "window.fetch = ((old) => (path, given) => given?.method === 'PATCH'"
            " ? old(path, {...given, headers: {...given.headers, 'If-Match': '\"old\"'}})"
            " : old(path, given))(window.fetch)"
        )
        fill(browser, "textarea", "Deploys go out on Fridays")
        click(browser, "Save")
        until(browser, lambda: "has changed since" in text_of(browser))
        assert browser.execute_script("return document.querySelector('textarea').value") == "Deploys go out on Fridays"
        assert memory.get(added).text == "Deploys go out on Tuesdays"


def _check_harmless(browser: Chrome, screen: str) -> None:
    """Check that hostile texts have made nothing on a screen, and that it is no wider than the window."""
    made = "return document.querySelectorAll('main script, main img, main b, main a[href^=\"javascript\"]').length"
    assert browser.execute_script(made) == 0, screen
    assert "owned" not in browser.title
    assert not UNSEEN.search(text_of(browser))
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0, screen


def _show_all(browser: Chrome, within: str) -> str:
    """Show all of each long text in a part of the page, and return the text of this part."""
    browser.execute_script(
        "document.querySelectorAll(`${arguments[0]} button.plain`).forEach("
        "(each) => each.innerText.startsWith('show all') && each.click())",
        within,
    )
    until(browser, lambda: "show all" not in _text_within(browser, within))
    return _text_within(browser, within)


def _text_within(browser: Chrome, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))


def _as_shown(text: str) -> str:
    return UNSEEN.sub("\ufffd", text)


def test_hostile_texts_do_nothing(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """They are text on every screen: no script, no markup, no turned letters, and no page that is wider than it was."""
    script, turned, link, long = HOSTILE
    with memcrdt.open(home) as memory, memcrdt.open(tmp_path / "other", embedder=None) as other:
        ids = [memory.add(text, tags=["<i>tag</i>"], author="<b>who</b>\u202e") for text in HOSTILE]
        sign_in(browser, home, url)
        for screen in ("now", "find", "find?q=script", "timeline", *(f"memory/{each}" for each in ids), "forget"):
            go(browser, screen)
            until(browser, lambda: browser.execute_script("return document.querySelector('h1') !== null"))
            if screen != "forget":
                until(browser, lambda: "<b>who</b>" in text_of(browser))
            _check_harmless(browser, screen)
        for before, sides in (
            (f"{turned} before", (f"{script} 2", long[:-1])),
            (long[:-2], (f"{turned} 2", f"{link} 2")),
        ):
            go(browser, f"memory/{rivals(memory, other, before, *sides)}")
            until(browser, lambda: text_of(browser).count("Keep this text") == 2)
            said = _show_all(browser, ".sides")
            assert [text[:40] for text in sides if _as_shown(text) not in said] == []
            said = _show_all(browser, "section[aria-label=History]")  # here the words of two texts may alternate
            assert [
                word[:40] for text in (before, *sides) for word in _as_shown(text).split() if word not in said
            ] == []
            assert browser.execute_script("return document.querySelectorAll('ins, del').length") > 2
            _check_harmless(browser, "a conflict")
        go(browser, "forget")
        fill(browser, "input[name=tags]", "<i>tag</i>")
        click(browser, "Preview", "main")
        until(browser, lambda: "6 memories would be forgotten" in text_of(browser))
        said = _show_all(browser, "section[aria-label=Preview]")
        assert [text[:40] for text in HOSTILE if _as_shown(text) not in said] == []
        _check_harmless(browser, "the preview of forgetting")
    assert errors_of(browser) == []


def _eventful(home: Path, tmp_path: Path) -> dict[str, str]:
    """Fill a home with something for each screen, and return the screens by the names of their pictures."""
    with memcrdt.open(home) as memory, memcrdt.open(tmp_path / "desktop", embedder=None) as desktop:
        rival = rivals(memory, desktop, "Deploys take an hour", "Deploys take a minute", "Deploys take a day")
        added = memory.add("Deploys go out on Tuesdays", tags=["release"], author="codex", trust="low")
        memory.update(added, text="Deploys go out on Fridays")
        memory.link(added, "decided in", memory.add("The meeting of Monday"))
        memory.add("Deploys take ten minutes")
        memory.space("team").create()
        memory.accept(desktop.device, name="desktop", spaces=["personal", "team"])
        gone = memory.add("It is not needed any more")
        memory.forget(gone)
        with memory.store.writing() as db:
            raise_alarm(db, memory.store.now_ms(), "The disk is nearly full; run `memcrdt doctor`")
    return {
        "now": "now",
        "list": "find",
        "found": "find?q=deploys",
        "timeline": "timeline",
        "memory": f"memory/{added}",
        "conflict": f"memory/{rival}",
        "devices": "devices",
        "forget": "forget",
        "receipts": f"forget?id={gone}",
        "alarms": "health",
    }


def test_axe_finds_nothing(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """Every screen, in both themes, also at the width of a phone, where nothing is wider than it."""
    (tmp_path / "npm").mkdir()
    axe = (install(tmp_path / "npm", AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    screens = _eventful(home, tmp_path)
    sign_in(browser, home, url)
    problems: list[tuple[Any, ...]] = []

    def look(name: str) -> None:
        for theme in ("light", "dark"):
            browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
            if not browser.execute_script("return 'axe' in window"):  # sending half a megabyte takes long
                browser.execute_script(axe)
            found = browser.execute_async_script(
                "axe.run().then((found) => arguments[0](found.violations.map("
                "(each) => [each.id, each.nodes.map((node) => node.html.slice(0, 120))])))"
            )
            problems.extend((name, theme, each) for each in found)
        if browser.execute_script("return document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            problems.append((name, "is too wide"))
        picture(browser, name, tmp_path)

    def load(screen: str, ready: str) -> None:
        go(browser, "none")
        go(browser, screen)
        until(browser, lambda: browser.find_elements("css selector", ready))

    try:
        for width in (1000, 360):
            browser.set_window_size(width, 900)
            for name, screen in screens.items():
                load(screen, READY.get(name, "main .card, main form, main table"))
                look(f"{name}-{width}")
            for name, (screen, button, shown) in PRESSED.items():
                load(screens[screen], "main button")
                browser.execute_script("document.querySelectorAll('main details').forEach((each) => each.open = true)")
                if name == "forget-preview":
                    fill(browser, "input[name=contains]", "Deploys")
                click(browser, button, "main")
                until(browser, lambda shown=shown: browser.find_elements("css selector", shown))
                look(f"{name}-{width}")
                browser.execute_script("document.querySelector('dialog')?.close()")
    finally:
        browser.set_window_size(1000, 900)
    assert problems == [], "\n".join(map(str, problems))


def test_two_devices_are_paired_settle_a_conflict_and_forget(
    browser: Chrome, home: Path, url: str, tmp_path: Path
) -> None:
    """All of it on the page of one device: what the other one adds appears, and its receipt follows."""
    other = tmp_path / "desktop"
    other.mkdir()
    (other / "config.toml").write_text((home / "config.toml").read_text("utf-8"), encoding="utf-8")
    with memcrdt.open(other, device_name="desktop") as desktop, memcrdt.open(home) as laptop:
        sign_in(browser, home, url, "devices")
        until(browser, lambda: "Pair another device" in text_of(browser))
        browser.execute_script("document.querySelector('main details').open = true")
        click(browser, "Show a code")
        said = until(browser, lambda: re.search(r"pair (\S+) --address \S+:(\d+)", text_of(browser)))
        desktop.sync.join(said[1], address=f"127.0.0.1:{said[2]}", timeout=PATIENCE_S)
        until(browser, lambda: "Paired with desktop" in text_of(browser))
        serving_at = until(browser, lambda: (found := laptop.sync.serving()) and found.port)
        desktop.accept(laptop.device, name="laptop", address=f"127.0.0.1:{serving_at}")
        go(browser, "now")
        desktop.sync.start(**NETWORK)
        added = desktop.add("Deploys go out on Tuesdays", author="codex")
        until(browser, lambda: "Deploys go out" in text_of(browser) and "on desktop" in text_of(browser))
        until(browser, lambda: "In sync" in text_of(browser))
        go(browser, "devices")
        until(browser, lambda: "in sync" in text_of(browser))
        picture(browser, "devices-two", home.parent)

        desktop.sync.stop()
        desktop.update(added, text="Deploys go out on Mondays")
        laptop.update(added, text="Deploys go out on Fridays")
        desktop.sync.start(**NETWORK)
        go(browser, f"memory/{added}")
        until(browser, lambda: "Keep this text" in text_of(browser))
        picture(browser, "conflict", home.parent)
        choose = (
            "[...document.querySelectorAll('.sides article')].find((each) => each.innerText.includes('Mondays'))"
            ".querySelector('button').click()"
        )
        browser.execute_script(choose)
        until(browser, lambda: not laptop.get(added).conflicted)
        assert laptop.get(added).text == "Deploys go out on Mondays"
        until(browser, lambda: "Keep this text" not in text_of(browser))

        desktop.sync.stop()
        go(browser, "forget")
        fill(browser, "input[name=contains]", "Deploys")
        click(browser, "Preview", "main")
        until(browser, lambda: "1 memory would be forgotten" in text_of(browser))
        picture(browser, "forget-preview", home.parent)
        click(browser, "Forget it", "main")
        click(browser, "Forget", "dialog")
        until(browser, lambda: "has not confirmed 1 yet" in text_of(browser))
        desktop.sync.start(**NETWORK)
        until(browser, lambda: "confirmed: no byte is left" in text_of(browser))
        assert len(desktop.list()) == 0
        picture(browser, "receipts", home.parent)
    assert errors_of(browser) == []


def test_lines_are_imported_and_several_memories_forgotten(
    browser: Chrome, home: Path, url: str, tmp_path: Path
) -> None:
    """Refused lines are named. What is forgotten is exactly what was confirmed. The store is checked."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text(
        '{"text": "draft one", "tags": ["draft"]}\n{"text": ""}\n{"text": "draft two", "tags": ["draft"]}\n'
    )
    sign_in(browser, home, url, "health")
    chosen = until(browser, lambda: browser.find_elements("css selector", "input[type=file]"))
    chosen[0].send_keys(str(lines))
    browser.execute_script("document.querySelector('input[name=dry_run]').click()")
    click(browser, "Import", "main")
    until(browser, lambda: "line 2:" in text_of(browser))
    click(browser, "Check the store", "main")
    until(browser, lambda: "Nothing is damaged" in text_of(browser))
    with memcrdt.open(home) as memory:
        assert {each.text for each in memory.list()} == {"draft one", "draft two"}
        kept = memory.add("kept")
        go(browser, "forget")
        fill(browser, "input[name=tags]", "draft")
        click(browser, "Preview", "main")
        click(browser, "Forget them", "main")
        until(browser, lambda: "Forget 2 memories on every device" in text_of(browser))
        click(browser, "Forget", "dialog")
        until(browser, lambda: "2 memories are forgotten" in text_of(browser))
        assert [each.id for each in memory.list()] == [kept]
        other = memory.add("it replaces what was kept")
        go(browser, f"memory/{kept}")
        click(browser, "Supersede", "main")
        fill(browser, "main input[type=search]", "replaces")
        click(browser, "This one replaces it", "main")
        until(browser, lambda: memory.get(kept).superseded_by == other)
        until(browser, lambda: "superseded" in text_of(browser))  # until then, the page has an old version to change
        click(browser, "Expire", "main")
        click(browser, "Set", "main")
        until(browser, lambda: memory.get(kept).expires_at is not None)
