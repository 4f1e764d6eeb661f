"""The contract of every Replica: a test class to inherit from."""

from __future__ import annotations

from typing import Protocol

import pytest

from memcrdt.errors import MemcrdtError, NotFoundError
from memcrdt.model.clocks import covers
from memcrdt.sync.replica import LogEntry, Replica

STRANGER = "Z" * 52
UNKNOWN_SPACE = "A" * 52


class ReplicaScene(Protocol):
    """A replica that a test controls. It has one space, and all writes go to shard 0.

    Attributes:
        replica: The replica under test.
        device: The id of its device.
        peer: The id of another member of the space.
        space: The id of the space.
    """

    replica: Replica
    device: str
    peer: str
    space: str

    def write(self, text: str) -> None:
        """Commit a text, as one row of the log."""
        ...

    def delete(self, text: str) -> None:
        """Commit the deletion of a text."""
        ...

    def fold(self) -> None:
        """Fold the log of the shard into a snapshot."""
        ...

    def texts(self) -> set[str]:
        """Return the texts that are not deleted."""
        ...

    def other(self) -> ReplicaScene:
        """Return an empty replica of the same space on the device `peer`, which accepts updates of this device."""
        ...


class ReplicaAcceptance:
    """The tests. Inherit from the class, and give it a fixture `scene` that returns a fresh ReplicaScene."""

    def test_an_empty_shard_has_no_clocks_and_no_digest(self, scene: ReplicaScene) -> None:
        """A shard without any write too."""
        assert dict(scene.replica.state_vector(scene.space, 0)) == {}
        assert dict(scene.replica.state_vector(scene.space, 7)) == {}
        assert dict(scene.replica.digests(scene.space)) == {}

    def test_a_write_is_in_the_log_the_clocks_and_the_digests(self, scene: ReplicaScene) -> None:
        """Its entry has the clocks that it needs and the clocks after it."""
        before = scene.replica.head()
        scene.write("first")
        first = scene.replica.state_vector(scene.space, 0)
        scene.write("second")
        second = scene.replica.state_vector(scene.space, 0)
        one, other = _entries(scene, before)
        assert (one.space, one.shard, one.origin) == (scene.space, 0, "local")
        assert before < one.seq < other.seq == scene.replica.head()
        assert covers(first, one.after)
        assert covers(second, other.after)
        assert not covers(first, other.after)
        assert covers(first, other.needs)
        assert not covers({}, other.needs)
        assert scene.replica.digests(scene.space)[0].seq == scene.replica.head()

    def test_a_diff_brings_another_replica_to_the_same_state(self, scene: ReplicaScene) -> None:
        """Then digests and clocks are equal, and the entry names its origin."""
        for text in ("first", "second", "third"):
            scene.write(text)
        other = scene.other()
        _pull(other, scene)
        assert other.texts() == scene.texts() == {"first", "second", "third"}
        assert _digest(other) == _digest(scene)
        assert other.replica.state_vector(other.space, 0) == scene.replica.state_vector(scene.space, 0)
        assert {entry.origin for entry in _entries(other)} == {scene.device}

    def test_replicas_that_wrote_apart_agree_after_they_exchanged(self, scene: ReplicaScene) -> None:
        """In either order."""
        other = scene.other()
        scene.write("here")
        other.write("there")
        _pull(scene, other)
        _pull(other, scene)
        assert scene.texts() == other.texts() == {"here", "there"}
        assert _digest(scene) == _digest(other)

    def test_an_update_that_is_known_changes_nothing(self, scene: ReplicaScene) -> None:
        """It counts as applied, and adds no row to the log."""
        scene.write("first")
        other = scene.other()
        _pull(other, scene)
        before = other.replica.head(), _digest(other)
        _pull(other, scene)
        assert (other.replica.head(), _digest(other)) == before

    def test_an_update_with_a_gap_before_it_changes_nothing(self, scene: ReplicaScene) -> None:
        """It is applied after the update that it builds on."""
        scene.write("first")
        scene.write("second")
        one, two = _entries(scene)
        other = scene.other()
        before = other.replica.head()
        applied = other.replica.apply(other.space, 0, two.update, scene.device)
        assert (applied.status, dict(applied.state_vector)) == ("gap", {})
        assert (other.replica.head(), other.texts()) == (before, set())
        for entry in (one, two):
            applied = other.replica.apply(other.space, 0, entry.update, scene.device)
            assert applied.status == "applied"
            assert covers(applied.state_vector, entry.after)
        assert other.texts() == {"first", "second"}

    def test_bytes_that_are_no_update_are_refused(self, scene: ReplicaScene) -> None:
        """With a reason. The replica is unchanged."""
        scene.write("first")
        before = scene.replica.head(), _digest(scene)
        applied = scene.replica.apply(scene.space, 0, b"\xff no update", scene.peer)
        assert (applied.status, applied.reason != "") == ("refused", True)
        assert applied.state_vector == scene.replica.state_vector(scene.space, 0)
        assert (scene.replica.head(), _digest(scene)) == before

    def test_a_deletion_travels_although_it_advances_no_clock_of_the_text(self, scene: ReplicaScene) -> None:
        """The digest differs, and a diff brings the deletion."""
        scene.write("first")
        scene.write("second")
        other = scene.other()
        _pull(other, scene)
        scene.delete("first")
        assert _digest(other) != _digest(scene)
        _pull(other, scene)
        assert other.texts() == scene.texts() == {"second"}
        assert _digest(other) == _digest(scene)

    def test_the_log_is_read_in_pages(self, scene: ReplicaScene) -> None:
        """Each page continues at `next_seq` of the page before. The page after the last row is empty."""
        before = scene.replica.head()
        for number in range(5):
            scene.write(f"text {number}")
        found, seq = [], before
        for _ in range(3):
            page = scene.replica.log(seq, 2)
            assert len(page.entries) <= 2
            found += [entry.seq for entry in page.entries]
            seq = page.next_seq
        assert found == [entry.seq for entry in _entries(scene, before)]
        assert (len(found), seq) == (5, scene.replica.head())
        end = scene.replica.log(seq, 2)
        assert (list(end.entries), end.next_seq) == ([], seq)

    def test_rows_that_were_folded_away_have_to_be_compared(self, scene: ReplicaScene) -> None:
        """The log names their shard. Later rows are listed."""
        before = scene.replica.head()
        scene.write("first")
        scene.write("second")
        scene.fold()
        page = scene.replica.log(before, 10)
        assert (list(page.entries), list(page.resync)) == ([], [(scene.space, 0)])
        folded = scene.replica.head()
        scene.write("third")
        page = scene.replica.log(folded, 10)
        assert ([entry.seq for entry in page.entries], list(page.resync)) == ([scene.replica.head()], [])
        other = scene.other()
        _pull(other, scene)
        assert other.texts() == {"first", "second", "third"}

    def test_only_members_get_the_space(self, scene: ReplicaScene) -> None:
        """An unknown device does not learn that it exists."""
        scene.write("first")
        (shared,) = [each for each in scene.replica.spaces(scene.peer) if each.id == scene.space]
        record = scene.replica.membership(scene.space)
        assert record is not None
        assert shared.membership_digest == record.digest()
        assert scene.peer in scene.replica.audience(scene.space)
        assert scene.replica.diff_for(scene.peer, scene.space, 0, {}).update
        page = scene.replica.log_for_all(0, 10)
        assert scene.peer in page.audience[scene.space]
        assert list(scene.replica.spaces(STRANGER)) == []
        assert STRANGER not in scene.replica.audience(scene.space) | page.audience[scene.space]
        with pytest.raises(NotFoundError):
            scene.replica.diff_for(STRANGER, scene.space, 0, {})

    def test_nobody_is_revoked_at_first(self, scene: ReplicaScene) -> None:
        """Neither the peer nor an unknown device."""
        assert dict(scene.replica.revocations(scene.peer, [scene.space])) == {}
        assert dict(scene.replica.revocations(STRANGER, [scene.space])) == {}

    def test_a_space_that_is_not_here_is_told(self, scene: ReplicaScene) -> None:
        """It has no members, and reading its content is an error."""
        assert scene.replica.membership(UNKNOWN_SPACE) is None
        assert scene.replica.audience(UNKNOWN_SPACE) == frozenset()
        for call in (
            lambda: scene.replica.digests(UNKNOWN_SPACE),
            lambda: scene.replica.diff(UNKNOWN_SPACE, 0, {}),
            lambda: scene.replica.apply(UNKNOWN_SPACE, 0, b"", scene.peer),
        ):
            with pytest.raises(MemcrdtError):
                call()

    def test_receipts_say_whose_scrubbing_is_awaited(self, scene: ReplicaScene) -> None:
        """A peer with a deletion has to confirm the scrubbing of its file. A new incarnation has confirmed nothing."""
        replica, peer, space = scene.replica, scene.peer, scene.space
        replica.note_incarnation(peer, "first")
        scene.write("first")
        assert dict(replica.note_receipts(peer, space, {0: replica.head()}, {})) == {}
        scene.delete("first")
        deleted = replica.digests(space)[0].seq
        assert dict(replica.note_receipts(peer, space, {0: deleted}, {})) == {0: deleted}
        replica.note_incarnation(peer, "first")
        assert dict(replica.note_receipts(peer, space, {}, {0: deleted})) == {}
        replica.note_incarnation(peer, "second")
        assert dict(replica.note_receipts(peer, space, {0: deleted}, {})) == {0: deleted}

    def test_a_file_from_which_nothing_was_deleted_is_scrubbed(self, scene: ReplicaScene) -> None:
        """Writing alone leaves no forgotten bytes."""
        scene.write("first")
        assert scene.replica.is_scrubbed(scene.space)


def _entries(scene: ReplicaScene, after: int = 0) -> list[LogEntry]:
    return [entry for entry in scene.replica.log(after, 100).entries if entry.space == scene.space]


def _digest(scene: ReplicaScene) -> bytes:
    return scene.replica.digests(scene.space)[0].digest


def _pull(to: ReplicaScene, source: ReplicaScene) -> None:
    """Send shard 0 of `source` to `to`, part by part."""
    partial = True
    while partial:
        known = to.replica.state_vector(to.space, 0)
        diff = source.replica.diff(source.space, 0, known)
        applied = to.replica.apply(to.space, 0, diff.update, source.device)
        assert applied.status == "applied", applied.reason
        assert covers(applied.state_vector, diff.after)
        partial = diff.partial
