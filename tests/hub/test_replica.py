"""A store in PostgreSQL behind the interface of sync."""

from __future__ import annotations

import pytest

from memcrdt.testing.replicas import ReplicaAcceptance, ReplicaScene
from tests.hub.conftest import MakeHub
from tests.store_scene import StoreScene

pytestmark = pytest.mark.xdist_group("postgres")


class TestPostgresReplica(ReplicaAcceptance):
    """A store in PostgreSQL meets the contract of all replicas."""

    @pytest.fixture(name="scene")
    def _scene(self, hub: MakeHub) -> ReplicaScene:
        return StoreScene(hub, "A", "B" * 52)
