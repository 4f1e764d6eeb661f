"""The pages on Yjs clients agree with the code."""

from __future__ import annotations

from pathlib import Path

from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.model.ports import DEFAULT_YJS_PORT
from memcrdt.net.connection_gate import IDENTIFY_S
from memcrdt.yjs import client, listener, protocol, room, source

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "yjs.md").read_text(encoding="utf-8")
DATA = (ROOT / "docs" / "yjs" / "data.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "yjs" / "protocol.md").read_text(encoding="utf-8")


def test_the_example_on_the_page_is_the_one_that_runs() -> None:
    """Word for word, and about thirty lines long."""
    example = (ROOT / "examples" / "yjs" / "index.js").read_text(encoding="utf-8")
    assert f"```js\n{example}```" in PAGE
    assert len(example.splitlines()) <= 30


def test_every_attribute_is_named() -> None:
    """In the table of registers."""
    assert [name for name in IN_REGISTERS if f"`{name}`" not in DATA] == []


def test_the_figures_agree_with_the_code() -> None:
    """Ports, limits, close codes and times."""
    text = " ".join(f"{PAGE} {PROTOCOL}".split())
    assert f"127.0.0.1:{DEFAULT_YJS_PORT}" in text
    assert f"{client.HEARTBEAT_S:.0f} s without another message" in text
    assert f"{source.WHOLE_BYTES >> 20} MiB go out as updates of about {source.PIECE_BYTES >> 10} KiB" in text
    assert f"bring {room.PRESENCES} clients" in text
    assert f"{protocol.PRESENCE_BYTES >> 10} KiB of state" in text
    assert f"{protocol.FRAME_BYTES >> 20} MiB. {listener.CLIENTS} clients of one token" in text
    assert f"share {listener.PENDING_MAX} places, for up to {IDENTIFY_S:.0f} s" in text
    assert f"close code {client.REFUSED} and" in text
    assert f"{client.REFUSED} after a refusal, or {client.UNKNOWN} if" in text
    assert f"stays open for {client.REFUSAL_FIRST_S:.0f} s" in text
    assert f"up to {client.REFUSAL_MAX_S:.0f} s" in text
    assert f"ends with {client.REVOKED}." in text
