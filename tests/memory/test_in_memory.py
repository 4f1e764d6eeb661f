"""memcrdt.open(":memory:") opens a memory that leaves no file. test_memory.py also runs on such memories."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import memcrdt
from memcrdt._open import open_async
from memcrdt.cli.app import run
from memcrdt.errors import InputError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.node.node import Node
from memcrdt.pairing.codes import new_code
from memcrdt.pairing.pair import PairOptions, join

FILLED = """
import os, signal, sys
sys.dont_write_bytecode = True
import memcrdt

memory = memcrdt.open(":memory:")
first = memory.add_many(["Deploys go out on Tuesdays", "The cat is called Miso"])[0]
assert memory.search("when do we ship?", limit=1)[0].memory.id == first
memory.forget(first)
memory.compact()
memory.doctor(repair=True)
print("done", flush=True)
"""


@pytest.mark.parametrize("end", ["memory.close()", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["close", "kill"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_no_file_is_left_anywhere(tmp_path: Path, end: str) -> None:
    """Neither in the home, in the state folder, in the folder for temporary files, nor in the working directory."""
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "MEMCRDT_STATE", "XDG_DATA_HOME", "XDG_STATE_HOME")}
    for place in places.values():
        place.mkdir()
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", FILLED + end],
        cwd=tmp_path / "HOME",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert done.returncode == (0 if "close" in end else -signal.SIGKILL)
    assert [path for path in tmp_path.rglob("*") if path not in places.values()] == []


def test_two_are_separate_and_each_is_freed_when_it_is_closed() -> None:
    """The database ends with its last connection. Later calls are refused."""
    with memcrdt.open(":memory:", embedder=None) as one, memcrdt.open(":memory:", embedder=None) as other:
        one.add("only here")
        assert [record.text for record in one.list()] == ["only here"]
        assert list(other.list()) == []
        assert one.store.device != other.store.device
    with pytest.raises(StoreError, match="closed"):
        one.list()
    with closing(apsw.Connection(str(one.store.path), vfs="memdb")) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema").get == 0


def test_the_home_variable_may_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So an agent that calls open() without arguments can be tested without changes."""
    monkeypatch.setenv("MEMCRDT_HOME", ":memory:")
    with memcrdt.open(embedder=None, device_name="laptop") as memory:
        assert (memory.home, memory.status().home, memory.config.device_name) == (None, None, "laptop")


def test_threads_read_and_write_at_once() -> None:
    """They wait for each other. No call fails, and no memory is lost."""
    failures: list[Exception] = []
    with memcrdt.open(":memory:", embedder=None) as memory:

        def work(number: int) -> None:
            try:
                for turn in range(20):
                    added = memory.add(f"{number}: {turn}")
                    memory.update(added, text=f"{number}: {turn} again", add_tags=["seen"])
                    assert memory.search(f"{turn} again", limit=3)
                    memory.list(limit=10)
            except Exception as exc:  # noqa: BLE001 - the test reports any kind
                failures.append(exc)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(memory.list(limit=1_000, tags=["seen"]).items) == 120
        assert memory.doctor().problems == ()


async def test_it_is_awaitable() -> None:
    """open_async() accepts the name too."""
    async with open_async(":memory:", embedder=None) as memory:
        added = await memory.add("from a task")
        assert (await memory.get(added)).text == "from a task"


def test_what_waits_for_an_embedder_is_embedded_in_the_background() -> None:
    """A second model embeds every memory again while the first model answers."""
    with memcrdt.open(":memory:", embedder=None) as memory:
        memory.add_many(f"fact number {number}" for number in range(50))
        name = memory.use_model("static")
        deadline = time.monotonic() + 30
        while (found := memory.status().search).waiting or found.next_model:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        assert found.model == name
        assert memory.search("fact number 7", limit=1)[0].memory.text == "fact number 7"


def test_a_backup_of_it_can_be_restored_in_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    """The backup is an ordinary store. A file in WAL mode is accepted too."""
    with memcrdt.open(":memory:", embedder=None) as memory:
        kept = memory.add("kept")
        memory.forget(memory.add("zebra, forgotten"))
        assert memory.backup(tmp_path / "backup") == (tmp_path / "backup").stat().st_size
        memory.add("written since")
        memory.restore(tmp_path / "backup")
        assert [record.id for record in memory.list()] == [kept]
    assert b"zebra" not in (tmp_path / "backup").read_bytes()
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        memory.restore(tmp_path / "backup")
        assert [record.id for record in memory.list()] == [kept]
    with closing(sqlite3.connect(tmp_path / "backup")) as db:
        assert db.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    with memcrdt.open(":memory:", embedder=None) as memory:
        memory.restore(tmp_path / "backup")
        assert [record.id for record in memory.list()] == [kept]
        with pytest.raises(InputError, match="no file"):
            memory.restore(tmp_path / "nothing")
        (tmp_path / "letter").write_text("a letter to a friend")
        with pytest.raises(StoreError, match="not a backup"):
            memory.restore(tmp_path / "letter")


REFUSED = {
    "start_sync": lambda memory: memory.start_sync(),
    "wait_synced": lambda memory: memory.wait_synced(timeout=1),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_it_cannot_sync(call: object) -> None:
    """It has no device key, and the error says so."""
    with memcrdt.open(":memory:", embedder=None) as memory, pytest.raises(InputError, match="no device key"):
        call(memory)
    with pytest.raises(InputError, match="no device key"):
        memcrdt.open(":memory:", embedder=None, sync=True)


async def test_it_runs_no_node_and_pairs_with_nobody() -> None:
    """And neither creates a folder."""
    with memcrdt.open(":memory:", embedder=None) as memory:
        with pytest.raises(InputError, match="no device key"):
            await Node(memory).__aenter__()
        with pytest.raises(InputError, match="no device key"):
            await join(memory, str(new_code()), PairOptions(), at="127.0.0.1:1")


def test_it_is_not_for_reading_only_nor_for_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both would see an empty memory that is lost at once."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="empty"):
        memcrdt.open(":memory:", read_only=True)
    assert run(["--home", ":memory:", "add", "a fact"]) != 0
    assert ":memory: is not a folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_has_no_alarms_and_no_peers(in_process: Memory) -> None:
    """There is no machine, boot or file to compare it with."""
    status = in_process.status()
    assert (status.alarms, status.peers, status.serving) == ((), (), None)


@pytest.fixture(name="in_process")
def _in_process() -> Memory:
    with memcrdt.open(":memory:", embedder=None) as memory:
        yield memory
