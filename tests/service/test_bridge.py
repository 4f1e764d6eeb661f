"""The bridge to a stream, with a real server of Redis or Valkey."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, UnreachableError
from memcrdt.memory.memory import Memory

redis = pytest.importorskip("redis", reason="needs memcrdt[bridge]")
from memcrdt.service import bridge as module  # noqa: E402
from memcrdt.service.bridge import Bridge, BridgeOptions  # noqa: E402

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="needs redis-server or valkey-server")
WAIT_S = 60.0


class Server:
    """A server behind a socket in a folder. It keeps what it has in a file while it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--dir", str(self.folder)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.process = subprocess.Popen([SERVER, *options, *durable], stdout=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def entries(self, stream: str = "memories") -> list[tuple[str, dict[str, str]]]:
        return self.client.xrange(stream)

    def told(self) -> list[tuple[str, str]]:
        """Return the kind and the id of each change in the stream."""
        return [(fields["kind"], fields["id"]) for _, fields in self.entries()]


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("r"))  # a short path: that of a socket has a limit
    server.start()
    yield server
    server.client.close()
    server.stop()


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        yield memory


@contextmanager
def running(memory: Memory, server: Server, **options: Any) -> Iterator[Bridge]:
    """Run a bridge in a thread, which ends without an error."""
    problems: list[BaseException] = []
    bridge = Bridge(memory, BridgeOptions(url=server.url, stream="memories", **options))
    stop = threading.Event()

    def run() -> None:
        try:
            bridge.run(stop)
        except BaseException as exc:  # noqa: BLE001 - told to the test
            problems.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield bridge
    finally:
        stop.set()
        thread.join()
        bridge.close()
        assert problems == []


def test_a_stream_begins_with_all_memories_and_goes_on_with_changes(memory: Memory, server: Server) -> None:
    """Each entry has the row of the log as its id. No text leaves the store."""
    first = memory.add("Deploys go out on Tuesdays")
    memory.add("stays here", space="local")
    with running(memory, server):
        eventually(lambda: server.told() == [("added", first)])
        second = memory.add("The code word is swordfish")
        eventually(lambda: len(server.told()) == 2)
        memory.update(first, text="Deploys go out on Mondays")
        eventually(lambda: len(server.told()) == 3)
        memory.forget(second)
        eventually(lambda: len(server.told()) == 4)
    assert server.told() == [("added", first), ("added", second), ("updated", first), ("forgotten", second)]
    ids = [tuple(map(int, name.split("-"))) for name, _ in server.entries()]
    assert ids == sorted(ids)
    assert [row for row, _ in ids] == [int(fields["row"]) for _, fields in server.entries()]
    assert "swordfish" not in str(server.entries())
    assert {fields["space"] for _, fields in server.entries()} == {"personal"}


def test_a_new_stream_of_a_folded_log_misses_nothing(memory: Memory, server: Server) -> None:
    """It begins with all memories, so how they came about does not matter."""
    ids = memory.add_many([f"memory {number}" for number in range(3)])
    memory.files.compact()
    with running(memory, server):
        eventually(lambda: len(server.told()) == 3)
    assert server.told() == [("added", each) for each in ids]


def test_a_further_run_goes_on_where_the_last_one_ended(memory: Memory, server: Server) -> None:
    """Also after the consumers have deleted all entries. Nothing is told twice after an orderly end."""
    with running(memory, server):
        first = memory.add("one")
        eventually(lambda: server.told() == [("added", first)])
    server.client.xtrim("memories", maxlen=0)
    second, third = memory.add("two"), memory.add("three")
    with running(memory, server):
        eventually(lambda: len(server.told()) == 2)
    assert server.told() == [("added", second), ("added", third)]


def test_a_server_that_goes_away_is_waited_for(memory: Memory, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed meanwhile follows."""
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    ids = []
    with running(memory, server):
        ids.append(memory.add("before"))
        eventually(lambda: len(server.told()) == 1)
        server.stop()
        ids += [memory.add(f"meanwhile {number}") for number in range(3)]
        time.sleep(0.2)
        server.start()
        eventually(lambda: {told for _, told in server.told()} == set(ids))


def test_only_the_wanted_spaces_are_copied(memory: Memory, server: Server) -> None:
    """From the next change on, if asked to."""
    memory.space("acme").create()
    memory.add("before", space="acme")
    with running(memory, server, spaces=("acme",), from_now=True):
        eventually(lambda: server.client.exists(f"{{memories}}:position:{memory.device}"))
        memory.add("private")
        wanted = memory.add("at work", space="acme")
        eventually(lambda: server.told() == [("added", wanted)])


def test_a_stream_is_cut_to_about_its_length(memory: Memory, server: Server) -> None:
    """The newest entries stay."""
    memory.add_many([f"memory {number}" for number in range(1_000)])
    with running(memory, server, max_length=100) as bridge:
        eventually(lambda: bridge.copied == 1_000)
    assert 100 <= len(server.entries()) < 1_000


def test_two_homes_and_a_restored_one_can_share_a_stream(memory: Memory, server: Server, tmp_path: Path) -> None:
    """The ids go on ascending, and each home knows its own position."""
    server.client.xadd("memories", {"kind": "other"}, id="5000-7")
    with memcrdt.open(tmp_path / "other", embedder=None) as other, running(memory, server), running(other, server):
        ids = {each.add(f"{number}") for number in range(20) for each in (memory, other)}
        eventually(lambda: len(server.entries()) == 41)
    assert {fields["id"] for _, fields in server.entries()[1:]} == ids


def test_no_change_is_lost_when_the_bridge_is_killed(memory: Memory, server: Server) -> None:
    """At any point, a few times: changes may be told twice, but each is told."""
    command = [sys.executable, "-m", "memcrdt", "bridge", "--stream", "memories", "--home", str(memory.home)]
    environment = {**os.environ, "MEMCRDT_REDIS_URL": server.url}
    ids: set[str] = set()
    for number in range(3):
        ids |= set(memory.add_many([f"{number} {each}" for each in range(400)]))
        seen = 400 * number
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
            eventually(lambda: len(server.told()) > seen)  # noqa: B023 - called at once
            if number < 2:
                process.kill()
                continue
            eventually(lambda: {told for _, told in server.told()} == ids)  # noqa: B023 - called at once
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert {told for _, told in server.told()} == ids


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "http://127.0.0.1"}, "not one of Redis"),
        ({"url": "redis://127.0.0.1", "stream": ""}, "name of the stream"),
        ({"url": "redis://127.0.0.1", "spaces": ("local",)}, "never leaves this machine"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    """Before anything is connected."""
    with pytest.raises(InputError, match=message):
        BridgeOptions(**{"stream": "memories", **wrong})


def test_problems_at_the_start_are_told(memory: Memory, server: Server) -> None:
    """No server, or a key that is no stream. The password is in no message."""
    nowhere = BridgeOptions(url="redis://:hunter2@127.0.0.1:1", stream="memories")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 does not answer") as caught:
        Bridge(memory, nowhere).run(threading.Event())
    assert "hunter2" not in str(caught.value)
    server.client.set("memories", "text")
    with pytest.raises(InputError, match="is no stream"):
        Bridge(memory, BridgeOptions(url=server.url, stream="memories")).run(threading.Event())
