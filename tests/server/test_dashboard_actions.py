"""What a user does in the dashboard with other devices, with the keyboard, and with what has to be acknowledged."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

import memcrdt
from memcrdt.errors import ReadOnlyError
from memcrdt.store.alarms import raise_alarm
from memcrdt.store.membership import receipts
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.receipts import HeldRows
from memcrdt.store.spaces import space_number
from tests.npm import install
from tests.server.browser import (
    PATIENCE_S,
    click,
    errors_of,
    fill,
    go,
    picture,
    press,
    sign_in,
    tab_to,
    text_of,
    until,
)
from tests.server.conftest import rivals

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NETWORK: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "mdns": False, "tailscale": False}
JSQR = {"jsqr": "1.4.0"}
HOSTILE_NAME = "<b>desk</b>top"

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(300)]


def _desktop(tmp_path: Path, home: Path, name: str) -> memcrdt.Memory:
    folder = tmp_path / "desktop"
    folder.mkdir()
    (folder / "config.toml").write_text((home / "config.toml").read_text("utf-8"), encoding="utf-8")
    return memcrdt.open(folder, device_name=name)


def _map_of(browser: Chrome) -> str:
    """Return what the map says to someone who does not see it; nothing without a map."""
    return str(browser.execute_script("return document.querySelector('.map svg')?.getAttribute('aria-label') ?? ''"))


def test_the_code_for_pairing_can_be_scanned(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """A reader of QR codes finds the command in the picture as it is on the screen, also in the dark theme."""
    (tmp_path / "npm").mkdir()
    reader = (install(tmp_path / "npm", JSQR) / "node_modules" / "jsqr" / "dist" / "jsQR.js").read_text("utf-8")
    sign_in(browser, home, url, "devices")
    until(browser, lambda: "Pair another device" in text_of(browser))
    browser.execute_script("document.documentElement.dataset.theme = 'dark'")
    browser.execute_script("document.querySelector('main details').open = true")
    click(browser, "Show a code")
    code = until(browser, lambda: browser.find_elements("css selector", "svg.qr"))[0]
    said = browser.execute_script("return document.querySelector('[role=status] small code').innerText")
    image = base64.b64encode(code.screenshot_as_png).decode()
    click(browser, "Cancel", "main")
    browser.get("about:blank")  # a page without a policy on images
    browser.execute_script(f"var exports, module, define; {reader}; window.jsQR = jsQR ?? window.jsQR;")
    scanned = browser.execute_async_script(
        "const [data, done] = arguments; const image = new Image();"
        "image.onload = () => { const canvas = document.createElement('canvas');"
        " canvas.width = image.width; canvas.height = image.height; const context = canvas.getContext('2d');"
        " context.drawImage(image, 0, 0); const pixels = context.getImageData(0, 0, image.width, image.height);"
        " done(window.jsQR(pixels.data, image.width, image.height)?.data ?? null); };"
        "image.src = 'data:image/png;base64,' + data;",
        image,
    )
    assert scanned == said
    assert scanned.startswith("memcrdt pair ")
    assert "--address" in scanned


def test_a_device_is_joined_shares_a_space_and_is_revoked(
    browser: Chrome, home: Path, url: str, tmp_path: Path
) -> None:
    """Its code is typed on the page. The map shows it. Its hostile name is a text on every screen."""
    with _desktop(tmp_path, home, HOSTILE_NAME) as desktop, memcrdt.open(home) as laptop:
        laptop.space("team").create()
        desktop.sync.start(**NETWORK)
        sign_in(browser, home, url, "devices")
        until(browser, lambda: "This is the only device" in text_of(browser))
        assert _map_of(browser) == ""
        browser.execute_script("document.querySelector('main details').open = true")
        with desktop.sync.invite() as invitation:
            fill(browser, "input[name=code]", invitation.code)
            fill(browser, "main input[name=address]", f"127.0.0.1:{invitation.addresses[0].rpartition(':')[2]}")
            click(browser, "Pair", "main")
            invitation.joined()
        at = until(browser, lambda: (found := laptop.sync.serving()) and found.port)
        desktop.accept(laptop.device, address=f"127.0.0.1:{at}")  # nothing looks for devices here
        until(browser, lambda: "<b>desk</b>" in _map_of(browser))
        until(browser, lambda: ": connected, in sync" in _map_of(browser))
        browser.execute_script("document.querySelector('.map').scrollIntoView()")
        picture(browser, "devices-map", home.parent)
        click(browser, "Share", "main")
        shared = "return document.querySelector('[data-device]').innerText"
        until(browser, lambda: "team" in browser.execute_script(shared))
        assert desktop.device in {each.device for each in laptop.space("team").members()}
        for screen in ("devices", "health", "now"):
            go(browser, screen)
            until(browser, lambda: "desk" in text_of(browser))
            assert browser.execute_script("return document.querySelectorAll('main b').length") == 0
        go(browser, "devices")
        click(browser, "Revoke", "main")
        click(browser, "Revoke", "dialog")
        until(browser, lambda: "revoked" in browser.execute_script(shared))
        until(browser, lambda: _map_of(browser) == "")
        (revoked,) = laptop.devices()
        assert revoked.state == "revoked"
        until(browser, lambda: any(alarm for alarm in desktop.status().alarms))
    assert errors_of(browser) == []


def test_a_device_that_knocks_is_accepted(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """The question names its id. Before the answer it gets nothing."""
    with _desktop(tmp_path, home, "desktop") as desktop, memcrdt.open(home) as laptop:
        laptop.accept(_other(tmp_path), name="phone")  # so that the server listens
        at = until(browser, lambda: (found := laptop.sync.serving()) and found.port)
        desktop.accept(laptop.device, name="laptop", address=f"127.0.0.1:{at}")
        added = desktop.add("Deploys go out on Tuesdays")
        desktop.sync.start(**NETWORK)
        sign_in(browser, home, url, "devices")
        until(browser, lambda: "not accepted: it tried to connect" in text_of(browser))
        assert laptop.count() == 0
        click(browser, "Accept", "main")
        asked = "return document.querySelector('dialog')?.innerText ?? ''"
        until(browser, lambda: desktop.device in browser.execute_script(asked))
        click(browser, "Accept", "dialog")
        until(browser, lambda: laptop.count() == 1)
        assert laptop.get(added).device == desktop.device
    assert errors_of(browser) == []


def test_a_device_that_is_off_is_shown_with_its_last_error_and_what_to_do(
    browser: Chrome, home: Path, url: str, tmp_path: Path
) -> None:
    """Both are gone when the device is back. A device without an address has an advice of its own."""
    card = "return document.querySelector(`[data-device='${arguments[0]}']`)?.innerText ?? ''"
    with _desktop(tmp_path, home, "desktop") as desktop, memcrdt.open(home) as laptop:

        def said() -> str:
            return str(browser.execute_script(card, desktop.device))

        def error() -> str:
            (device,) = (each for each in laptop.devices() if each.device == desktop.device)
            return (device.error or "").replace("`", "")

        phone = laptop.accept(_other(tmp_path), name="phone").device
        at = until(browser, lambda: (found := laptop.sync.serving()) and found.port)
        desktop.accept(laptop.device, name="laptop", address=f"127.0.0.1:{at}")
        desktop.sync.start(**NETWORK)
        port = until(browser, lambda: (found := desktop.sync.serving()) and found.port)
        laptop.accept(desktop.device, name="desktop", address=f"127.0.0.1:{port}")
        sign_in(browser, home, url, "devices")
        until(browser, lambda: "not connected" not in said() and "connected, in sync" in said())
        assert "Check that the device is on" not in said()
        assert "No address is known" in browser.execute_script(card, phone)
        desktop.sync.stop()
        until(browser, lambda: "not connected" in said() and (now := error()) != "" and now in said())
        assert "Check that the device is on, that memcrdt serve runs there" in said()
        browser.execute_script("document.querySelector('.failure').scrollIntoView({block: 'center'})")
        picture(browser, "devices-error", home.parent)
        desktop.sync.start(**NETWORK)
        until(browser, lambda: "not connected" not in said() and "connected, in sync" in said())
        until(browser, lambda: "cannot reach" not in said() and "Check that the device is on" not in said())
    assert errors_of(browser) == []


def test_a_space_is_shared_to_be_read_only(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """The other device gets what is in the space, the page says that it may read, and it cannot add anything."""
    with _desktop(tmp_path, home, "desktop") as desktop, memcrdt.open(home) as laptop:
        laptop.space("team").create()
        added = laptop.add("Deploys go out on Tuesdays", space="team")
        sign_in(browser, home, url, "devices")
        until(browser, lambda: "Pair another device" in text_of(browser))
        browser.execute_script("document.querySelector('main details').open = true")
        for chosen in ("[value=personal]", "[value=team]", "[name=read_only]"):
            browser.execute_script(f"document.querySelector('input{chosen}').click()")
        click(browser, "Show a code")
        code = until(browser, lambda: re.search(r"pair (\S+) --address \S+:(\d+)", text_of(browser)))
        desktop.sync.join(code[1], address=f"127.0.0.1:{code[2]}", timeout=PATIENCE_S)
        until(browser, lambda: "Paired with desktop" in text_of(browser))
        members = "return [...document.querySelectorAll('[aria-label=Spaces] tr')].map((row) => row.innerText)"
        until(browser, lambda: "desktop\tread" in browser.execute_script(members))
        assert "this device\tread and write" in browser.execute_script(members)
        browser.execute_script("document.querySelector('[aria-label=Spaces]').scrollIntoView()")
        picture(browser, "devices-read-only", home.parent)
        at = until(browser, lambda: (found := laptop.sync.serving()) and found.port)
        desktop.accept(laptop.device, name="laptop", address=f"127.0.0.1:{at}", spaces=["team"])
        desktop.sync.start(**NETWORK)
        until(browser, lambda: [each.id for each in desktop.list(space="team")] == [added])
        with pytest.raises(ReadOnlyError):
            desktop.add("Deploys go out on Fridays", space="team")
        assert laptop.count(space="personal") == desktop.count(space="personal") == 0
    assert errors_of(browser) == []


def _other(tmp_path: Path) -> str:
    with memcrdt.open(tmp_path / "phone", embedder=None) as phone:
        return phone.device


def test_a_hub_is_never_said_to_have_no_byte_left(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """It confirms that a memory is forgotten in its live database; its backups have it for the days that it names."""
    with memcrdt.open(home) as memory:
        hub = memory.accept(_other(tmp_path), name="hub").device
        Peers(memory.store).note_hub(hub, True, backup_days=30)
        gone = memory.add("Deploys go out on Tuesdays")
        memory.forget(gone)
        sign_in(browser, home, url, f"forget?id={gone}")
        until(browser, lambda: "hub: has not confirmed 1 yet" in text_of(browser))
        with memory.store.reading() as db:
            space = space_number(db, "personal")
            held = dict(db.execute("SELECT number, head FROM shards WHERE space = ?", (space,)))
        receipts.note(memory.store, hub, space, HeldRows(held=held, scrubbed={}))
        said = "hub: forgotten in the live database; backups keep it up to 30 days"
        until(browser, lambda: said in text_of(browser))
    assert errors_of(browser) == []


def test_memories_are_exported(browser: Chrome, home: Path, url: str, tmp_path: Path) -> None:
    """The file has a line of JSON for each memory, and with all earlier texts if the user wants them."""
    behavior = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
    with memcrdt.open(home) as memory:
        added = memory.add("Deploys go out on Tuesdays")
        memory.update(added, text="Deploys go out on Fridays")
        memory.add("Ada prefers tea")
    sign_in(browser, home, url, "health")
    until(browser, lambda: "Export all memories" in text_of(browser))
    click(browser, "Export all memories", "main")
    file = tmp_path / "memories.jsonl"
    until(browser, file.exists)
    texts = {json.loads(line)["text"] for line in file.read_text("utf-8").splitlines()}
    assert texts == {"Deploys go out on Fridays", "Ada prefers tea"}
    file.unlink()
    browser.execute_script("document.querySelector('input[name=history]').click()")
    click(browser, "Export all memories", "main")
    until(browser, file.exists)
    assert "Tuesdays" in file.read_text("utf-8")
    assert errors_of(browser) == []


def test_alarms_are_acknowledged(browser: Chrome, home: Path, url: str) -> None:
    """They are gone then, also for the other faces."""
    with memcrdt.open(home) as memory:
        with memory.store.writing() as db:
            raise_alarm(db, memory.store.now_ms(), "The disk is nearly full; run `memcrdt doctor`")
        sign_in(browser, home, url, "health")
        until(browser, lambda: "The disk is nearly full" in text_of(browser))
        picture(browser, "alarms", home.parent)
        click(browser, "I have seen them", "main")
        until(browser, lambda: "The disk is nearly full" not in text_of(browser))
        assert memory.status().alarms == ()
    assert errors_of(browser) == []


def test_the_graph_is_walked_with_the_keyboard(browser: Chrome, home: Path, url: str) -> None:
    """Tab reaches each memory around, and Enter opens it. The first stop of a page skips to its content."""
    from selenium.webdriver import ActionChains, Keys

    with memcrdt.open(home) as memory:
        meeting = memory.add("The meeting of Monday")
        decision = memory.add("Deploys go out on Tuesdays")
        memory.link(decision, "decided in", meeting)
    sign_in(browser, home, url, f"memory/{decision}")
    until(browser, lambda: browser.find_elements("css selector", ".graph a.node"))
    picture(browser, "graph", home.parent)

    def press(key: str) -> dict[str, Any]:
        ActionChains(browser).send_keys(key).perform()
        return dict(
            browser.execute_script(
                "const on = document.activeElement;"
                "return {kind: on.getAttribute('class'), to: on.getAttribute('href'), id: on.id}"
            )
        )

    browser.execute_script("document.activeElement.blur()")
    stops = [press(Keys.TAB) for _ in range(40)]
    nodes = [stop["to"] for stop in stops if stop["kind"] == "node"]
    assert {f"#/memory/{decision}", f"#/memory/{meeting}"} <= set(nodes)
    assert any(stop["kind"] == "skip" for stop in stops)
    for _ in range(40):
        if press(Keys.TAB) == {"kind": "node", "to": f"#/memory/{meeting}", "id": ""}:
            break
    press(Keys.ENTER)
    until(browser, lambda: browser.current_url.endswith(f"#/memory/{meeting}"))
    assert errors_of(browser) == []


def test_a_memory_is_found_settled_and_forgotten_with_keys_alone(
    browser: Chrome, home: Path, url: str, tmp_path: Path
) -> None:
    """Every step is a key of a keyboard. Escape leaves the question before forgetting."""
    from selenium.webdriver import Keys

    with memcrdt.open(home) as memory, memcrdt.open(tmp_path / "other", embedder=None) as other:
        added = rivals(memory, other, "Deploys go out", "Deploys go out on Fridays", "Deploys go out on Mondays")
        memory.add("Ada prefers tea")
        sign_in(browser, home, url)
        tab_to(browser, tag="A", name="Find")
        press(browser, Keys.ENTER)
        until(browser, lambda: browser.find_elements("css selector", "input[type=search]"))
        tab_to(browser, tag="INPUT", name="Question or words")
        press(browser, "deploys")
        until(browser, lambda: "1 memory" in text_of(browser))
        tab_to(browser, to=f"#/memory/{added}")
        press(browser, Keys.ENTER)
        until(browser, lambda: text_of(browser).count("Keep this text") == 2)
        tab_to(browser, name="Keep this text", around="Mondays")
        press(browser, Keys.SPACE)
        until(browser, lambda: not memory.get(added).conflicted)
        assert memory.get(added).text == "Deploys go out on Mondays"
        until(browser, lambda: "Keep this text" not in text_of(browser))
        for answer in (Keys.ESCAPE, Keys.ENTER):
            assert memory.get(added)
            tab_to(browser, tag="BUTTON", name="Forget")
            press(browser, Keys.ENTER)
            until(browser, lambda: browser.find_elements("css selector", "dialog[open]"))
            if answer == Keys.ENTER:
                tab_to(browser, tag="BUTTON", name="Forget", around="cannot be undone")
            press(browser, answer)
            until(browser, lambda: not browser.find_elements("css selector", "dialog[open]"))
        until(browser, lambda: "no byte is left" in text_of(browser))
        assert [each.text for each in memory.list()] == ["Ada prefers tea"]
    assert errors_of(browser) == []
