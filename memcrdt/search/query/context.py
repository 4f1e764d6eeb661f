"""Conversations: which memories come before and after one, in the order in which they were said."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from memcrdt.search.arrays import json_list
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REACH = 3  # memories on each side

_SIDE = """
  (SELECT json_group_array(memory) FROM
     (SELECT n.memory FROM memories n WHERE n.scope = m.scope AND n.space = m.space
      AND (n.created_at, n.id) {sign} (m.created_at, m.id) ORDER BY n.created_at {order}, n.id {order} LIMIT ?))"""
_NEIGHBOURS = f"""
SELECT m.memory, {_SIDE.format(sign="<", order="DESC")}, {_SIDE.format(sign=">", order="ASC")}
FROM memories m WHERE m.memory IN (SELECT value FROM json_each(?)) AND m.category = 'conversation'"""


def followers(db: Connection, memories: NDArray[np.int64]) -> dict[int, int]:
    """From a memory to the next one of its conversation, around each of `memories` that is of a conversation."""
    after: dict[int, int] = {}
    for memory, before, behind in db.execute(_NEIGHBOURS, (REACH, REACH, json_list(memories))):
        chain = [*reversed(json.loads(str(before))), memory, *json.loads(str(behind))]
        after.update(pairwise(chain))
    return after
