"""The replica for tests of sync passes the acceptance suite of real replicas."""

from __future__ import annotations

import pytest

from memcrdt.testing.fake_replica import FakeReplica
from memcrdt.testing.replicas import ReplicaAcceptance, ReplicaScene

SPACE = "S" * 52


class _Scene:
    space = SPACE

    def __init__(self, device: str, peer: str, client: int) -> None:
        self.replica = FakeReplica(client)
        self.device, self.peer = device, peer
        self.replica.share(SPACE, "personal", peer)

    def write(self, text: str) -> None:
        self.replica.write(SPACE, 0, text)

    def delete(self, text: str) -> None:
        self.replica.delete(SPACE, 0, text)

    def fold(self) -> None:
        self.replica.fold()

    def texts(self) -> set[str]:
        return self.replica.texts(SPACE)

    def other(self) -> _Scene:
        return _Scene(self.peer, self.device, 2)


class TestFakeReplica(ReplicaAcceptance):
    @pytest.fixture(name="scene")
    def _scene(self) -> ReplicaScene:
        return _Scene("A" * 52, "B" * 52, 1)
