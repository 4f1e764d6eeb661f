"""The two schemas, of a file and of a hub, have the same tables and columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bare_device import BareDevice
from tests.hub.conftest import MakeHub

pytestmark = pytest.mark.xdist_group("postgres")

_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = ? AND table_schema = current_schema()"
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"

_ONLY_HERE = {"schema_version", "casefolding", "leases", "passages", "vocabulary"}


def test_every_table_of_a_hub_has_the_columns_of_the_file(hub: MakeHub, tmp_path: Path) -> None:
    """Some statements insert rows by place. So the columns stand in the same order, too."""
    device, file = hub(), BareDevice(tmp_path / "F", "F")
    tables = {name for (name,) in device.rows(_TABLES)} - _ONLY_HERE
    for table in sorted(tables):
        columns = [name for (name,) in device.rows(f"{_COLUMNS} ORDER BY ordinal_position", table)]
        in_file = [row[1] for row in file.rows(f"PRAGMA table_info({table})")]
        assert set(columns) == set(in_file), table
        if table in {"homes", "revisions", "tags", "metadata", "links", "graves"}:
            assert columns == in_file, table
    file.close()
    not_here = {"fulltext"}
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    reopened = BareDevice(tmp_path / "F", "F")
    in_file = {name for (name,) in reopened.rows(sql) if not name.startswith(("sqlite_", "fulltext_"))}
    assert in_file - not_here == tables - {"sqlite_sequence"}
    reopened.close()
