"""Tests of folding, pruning, vacuuming and scrubbing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

import memcrdt
from memcrdt.crdt.pieces import PIECE_BYTES
from memcrdt.model import edits, limits
from memcrdt.model.projection import project
from memcrdt.store import compaction, log, quarantine, scrubbing
from memcrdt.store.files import FILE
from memcrdt.store.quarantine import RefusedUpdate
from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]
SECRET = "zebrafish quokka wombat"  # words that occur nowhere else


def _files_with(home: Path, words: str = SECRET) -> list[str]:
    """Return the files of a home, and the unpacked snapshots, that contain a word or its full-text stem."""
    needles = [word[:5].encode() for word in words.split()]
    with closing(apsw.Connection(str(home / FILE))) as db:
        snapshots = [piece for (packed,) in db.execute("SELECT bytes FROM snapshots") for piece in log.unpacked(packed)]
    assert not any(needle in snapshot for needle in needles for snapshot in snapshots)
    return [
        path.name
        for path in home.iterdir()
        if (data := path.read_bytes()) and any(needle in data for needle in needles)
    ]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _marks(device: BareDevice) -> int:
    return int(device.rows("SELECT count(*) FROM shards WHERE to_scrub > 0")[0][0])


def _digest(device: BareDevice) -> bytes:
    """Compute the digest of the first shard's document."""
    with device.store.documents() as (db, documents):
        return documents.current(db, log.shard_row(db, 1)).live.digest()


def test_folding_changes_nothing_that_can_be_read(device: Make) -> None:
    """Views, digest and documents stay the same, and the log is one snapshot."""
    a = device("A")
    ids = [a.add(f"memory {number}", tags=["t"]) for number in range(20)]
    a.forget(ids[4])
    a.update(ids[3], text="edited")
    before = a.views(), a.digest()
    done = compaction.compact(a.store)
    assert (a.views(), a.digest()) == before
    assert (done.shards, a.rows("SELECT count(*) FROM updates")) == (1, [(0,)])
    a.reopen()
    assert a.ids_of_documents() == set(ids)
    assert compaction.compact(a.store).shards == 0


def test_a_log_is_folded_by_the_commit_that_makes_it_too_long(device: Make) -> None:
    """So a shard loads fast even if compact() is never called."""
    a = device("A")
    memory = a.add("memory")
    for number in range(compaction.LOG_ROWS + 10):
        a.update(memory, importance=number / 1_000)
    assert a.rows("SELECT log_rows FROM shards")[0][0] < compaction.LOG_ROWS
    assert a.rows("SELECT count(*) FROM updates")[0][0] < compaction.LOG_ROWS
    assert a.rows("SELECT importance FROM memories") == [((compaction.LOG_ROWS + 9) / 1_000,)]


def test_at_most_64_revisions_are_kept_and_none_comes_back_as_a_head(device: Make) -> None:
    """The birth and the heads stay, and the oldest of the others are deleted.

    Some are deleted at once and the rest at compaction, also on a device that receives them only then.
    """
    a, b = device("A"), device("B")
    memory = a.add("text 0")
    for number in range(100):
        a.update(memory, text=f"text {number + 1}")
    agree([a, b])
    ((before,),) = a.rows("SELECT count(*) FROM revisions")
    assert limits.REVISIONS < before <= edits.TOO_MANY_REVISIONS
    assert compaction.compact(a.store).pruned == before - limits.REVISIONS
    kept = [row[0] for row in a.rows("SELECT text FROM revisions ORDER BY at, revision")]
    assert kept == ["text 0", *[f"text {number}" for number in range(38, 101)]]
    assert a.rows("SELECT text, conflicted FROM memories") == [("text 100", 0)]
    agree([a, b])
    assert a.views() == b.views()
    assert a.digest() == b.digest()


def test_a_large_shard_is_kept_in_pieces(device: Make) -> None:
    """The size of a piece is bounded, so that loading never blocks for long. This includes shards from a peer."""
    a, b = device("A"), device("B")
    ids = a.add_many([f"{number} " + "word " * 5_000 for number in range(30)])
    for turn, memory in product(range(3), ids):
        a.update(memory, text=f"{turn} " + "word " * 5_000)
    a.forget(ids.pop(7))
    digest = _digest(a)
    pieces = log.unpacked(a.rows("SELECT bytes FROM snapshots")[0][0])
    assert len(pieces) > 2
    assert max(map(len, pieces)) < 1.1 * PIECE_BYTES
    a.reopen()
    assert _digest(a) == digest
    assert not doctor.examine(a.store).problems
    agree([a, b])
    b.reopen()
    assert _digest(b) == digest
    assert all(length < 1.1 * PIECE_BYTES for (length,) in b.rows("SELECT length(bytes) FROM updates"))


def test_two_devices_that_prune_while_apart_agree(device: Make) -> None:
    """Even if one of them continued to edit, both delete the same revisions, oldest first."""
    a, b = device("A"), device("B")
    memory = a.add("text")
    for number in range(80):
        a.update(memory, text=f"text {number}")
    agree([a, b])
    compaction.compact(a.store)
    for number in range(10):
        b.update(memory, text=f"later {number}")
    compaction.compact(b.store)
    agree([a, b])
    for each in (a, b):
        compaction.compact(each.store)
    agree([a, b])
    assert (a.views(), a.digest()) == (b.views(), b.digest())
    assert a.rows("SELECT text, conflicted FROM memories") == [("later 9", 0)]
    assert a.rows("SELECT count(*) FROM revisions WHERE head = 1") == [(1,)]


def test_pruning_keeps_the_heads_of_any_history(device: Make) -> None:
    """Random histories have forks, settlements and wrong clocks."""
    from memcrdt.model.edits import prunable

    for seed in range(30):
        rng = random.Random(seed)
        memory = "01JD8Z6Q4M0000000000000001"
        registers = {memory: {"text": "birth", "scope": "global", "created_at": 5, "device": "d", "salt": "00" * 16}}
        names: list[str] = []
        for number in range(rng.randrange(5, 60)):
            name = f"01JD8Z6Q4N{number:016d}"
            base = rng.sample(names[-5:], min(len(names), rng.randrange(3))) or [memory]
            registers[f"{memory}/r/{name}"] = {"text": name, "at": rng.randrange(100), "device": "d", "base": base}
            names.append(name)
        state = project(memory, [registers])
        gone = prunable(state, 8)
        kept = {key: value for key, value in registers.items() if key.rpartition("/")[2] not in gone}
        after = project(memory, [kept])
        assert [h.revision for h in after.heads] == [h.revision for h in state.heads]
        assert len(after.revisions) <= max(8, 1 + len(state.heads)) or len(gone) == 0


def test_free_pages_are_given_back(device: Make) -> None:
    """After compact(), the file is not much longer than a new file with the same content."""
    a = device("A")
    ids = [memory for _ in range(10) for memory in a.add_many([f"some text {n} " * 20 for n in range(200)])]
    before = compaction.compact(a.store).after
    a.forget(*ids[50:])
    done = compaction.compact(a.store)
    assert done.after < before / 2  # the rest are tombstones
    assert a.rows("PRAGMA integrity_check") == [("ok",)]


def test_readers_do_not_stop_compaction_nor_it_them(device: Make) -> None:
    """A reader in the middle of a table keeps its view, and folding does not wait for it."""
    a = device("A")
    ids = a.add_many(f"memory {n}" for n in range(50))
    with a.store.reading() as db:
        db.execute("BEGIN")
        first = db.execute("SELECT count(*) FROM memories").get
        a.update(ids[0], text="edited")
        compaction.compact(a.store)
        assert db.execute("SELECT count(*) FROM memories WHERE text = 'edited'").get == 0
        assert db.execute("SELECT count(*) FROM memories").get == first
        db.execute("ROLLBACK")


def test_forgotten_text_is_in_no_byte_of_any_file(device: Make) -> None:
    """Invariant 5: when forget has returned `done`, neither database nor WAL has the text or its revisions."""
    a = device("A")
    memory = a.add(f"about {SECRET}", tags=["quokka"], metadata={"wombat": "zebrafish"}, source="zebrafish")
    a.add("another")
    a.update(memory, text=f"still about {SECRET}")
    assert _files_with(a.home) != []
    a.forget(memory)
    assert _files_with(a.home) == []
    assert _marks(a) == 0


def test_forgotten_text_is_in_no_byte_at_a_peer_either(device: Make) -> None:
    """Invariant 5: the commit that receives the forget marks the shard, and the file is scrubbed in the background."""
    a, b = device("A"), device("B")
    memory = a.add(f"about {SECRET}", tags=["quokka"])
    agree([a, b])
    a.forget(memory)
    agree([a, b])
    _wait(lambda: _marks(b) == 0)
    assert _files_with(b.home) == []


def test_a_shard_that_a_memory_has_left_is_scrubbed(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits of a closed shard move what they change. The memory is then forgotten in other shards than this one."""
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", 2)
    a, b = device("a"), device("b")
    memory = a.add("text")
    a.update(memory, metadata={"key": SECRET})
    b.take(a)
    a.update(memory, metadata={"key": "later"})
    b.take(a)
    assert [number for (number,) in a.rows("SELECT number FROM homes JOIN shards USING(shard)")] == [0, 2]
    a.forget(memory)
    b.take(a)
    b.store.scrub()
    for each in (a, b):
        each.close()
        assert _files_with(each.home) == []


def test_late_text_for_a_forgotten_memory_is_scrubbed(device: Make) -> None:
    """An edit whose author did not know of the forget leaves no byte at the receiver."""
    a, b = device("A"), device("B")
    memory = a.add("harmless")
    agree([a, b])
    a.forget(memory)
    b.update(memory, text=f"about {SECRET}")
    agree([a, b])
    for each in (a, b):
        _wait(lambda each=each: _marks(each) == 0)
        assert _files_with(each.home) == []


def test_with_a_reader_in_the_way_scrubbing_is_pending_and_no_writer_waits(device: Make) -> None:
    """Invariant 5: scrubbing continues automatically when the reader ends."""
    a = device("A")
    memory = a.add(f"about {SECRET}")
    with a.store.reading() as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM memories").fetchall()
        a.store.commit(lambda transaction: transaction.forget(1, memory))
        assert not a.store.scrub()
        assert _marks(a) == 1
        a.add("a writer does not wait")
        assert _files_with(a.home) != []
        db.execute("ROLLBACK")
    _wait(lambda: _marks(a) == 0)
    assert _files_with(a.home) == []


def test_scrubbing_that_was_pending_is_finished_by_whoever_opens_next(device: Make) -> None:
    """The mark is in the file, because the process that forgot may have ended."""
    a = device("A")
    memory = a.add(f"about {SECRET}")
    with a.store.reading() as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM memories").fetchall()
        a.store.commit(lambda transaction: transaction.forget(1, memory))
        a.close()
        db.execute("ROLLBACK")
    a.open()
    _wait(lambda: _marks(a) == 0)
    assert _files_with(a.home) == []


def test_scrubbing_stops_and_continues_later_while_an_index_has_more_to_erase(
    device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller does not wait for ever. The shards stay marked until a later scrubbing sees the end."""
    a = device("A")
    memory = a.add(f"about {SECRET}")
    monkeypatch.setattr(a.store, "scrub_later", lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(a.store.indexer, "erase_removed", lambda db: True)
        a.store.commit(lambda transaction: transaction.forget(1, memory))
        assert not a.store.scrub()
        assert _marks(a) == 1
    assert a.store.scrub()
    assert _marks(a) == 0
    assert _files_with(a.home) == []


def test_a_mark_made_during_scrubbing_stays(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forget by another process between folding and the end does not count as scrubbed."""
    a = device("A")
    first, second = a.add("first"), a.add("second")
    erase = a.store.erase_unallocated

    def forget_meanwhile() -> bool:
        done = erase()
        a.store.commit(lambda transaction: transaction.forget(1, second))
        return done

    monkeypatch.setattr(a.store, "erase_unallocated", forget_meanwhile)
    monkeypatch.setattr(a.store, "scrub_later", lambda: None)
    a.store.commit(lambda transaction: transaction.forget(1, first))
    a.store.scrub()
    assert _marks(a) == 1


def test_scrubbing_rests_in_between_however_often_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a large store it takes long, and a member that forgets all the time must not stop others from writing."""
    now, pauses = [100.0], list[float]()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return len(pauses) == 4

    def work() -> bool:
        now[0] += (2.0, 0.001, 30.0)[len(pauses) - 1]
        retry.wake()
        return True

    monkeypatch.setattr(scrubbing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    retry = scrubbing.RetryThread(work)
    retry._stop = Stop()
    retry.wake()
    retry.stop()
    assert pauses == [scrubbing.FIRST_PAUSE_S, 8.0, scrubbing.FIRST_PAUSE_S, scrubbing.LONGEST_PAUSE_S]


def test_quarantined_bytes_of_the_shard_go_with_what_was_forgotten(device: Make) -> None:
    """A refused update may contain the text too."""
    a = device("A")
    memory = a.add("memory")
    with a.store.writing() as db:
        quarantine.put(db, RefusedUpdate(1, 0, "somebody", "a reason", SECRET.encode(), 7))
    a.forget(memory)
    assert _files_with(a.home) == []
    assert a.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_rows_that_doctor_set_aside_go_with_what_was_forgotten(device: Make) -> None:
    """Covers a damaged row and a row that builds on it. They cannot be applied, but they can be read."""
    a = device("A")
    memory, other = a.add(SECRET), a.add("other")
    for text in (f"{SECRET} again", f"{SECRET} once more"):
        a.update(memory, text=text)
    with a.store.writing() as db:
        db.execute("UPDATE updates SET checksum = zeroblob(8) WHERE seq = 3")
    doctor.repair(a.store)
    assert a.rows("SELECT seq FROM damaged ORDER BY seq") == [(3,), (4,)]
    a.forget(memory)
    assert _files_with(a.home) == []
    assert list(a.texts()) == [other]


def test_threads_of_one_store_lose_nothing(device: Make) -> None:
    """A store is safe between threads that write, fold and read at the same time."""
    a = device("A")
    ids: list[str] = []

    def work(number: int) -> None:
        for turn in range(25):
            ids.append(a.add(f"{number} {turn}"))
            assert ids[-1] in a.texts()
            if turn % 10 == 5:
                compaction.compact(a.store)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 100 == len(a.texts())
    a.reopen()
    assert a.ids_of_documents() == set(ids)


def test_forgotten_words_and_vectors_are_in_no_byte_of_the_indexes(tmp_path: Path) -> None:
    """Invariant 5, with the real indexes: neither stems of the text nor the embedding remain."""
    home = tmp_path / "home"
    with memcrdt.open(home) as memory:
        memory.add_many(["something else", "and another thing"])
        forgotten = memory.add(f"about {SECRET}", author="numbat")
        with memory.store.reading() as db:
            number = db.execute("SELECT memory FROM memories WHERE id = ?", (forgotten,)).get
            embedding = db.execute("SELECT embedding FROM vectors WHERE passage / 256 = ?", (number,)).get
            code = db.execute("SELECT code FROM codes WHERE passage / 256 = ?", (number,)).get
        assert memory.search("quokka")[0].memory.id == forgotten
        assert any(embedding[:64] in file.read_bytes() for file in home.iterdir())
        assert memory.forget(forgotten).status == "done"
        assert _files_with(home, f"{SECRET} numbat") == []
        for file in home.iterdir():
            data = file.read_bytes()
            assert not any(part in data for part in (embedding[:64], embedding[-64:], code))
