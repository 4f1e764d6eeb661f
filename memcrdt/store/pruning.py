"""Which old texts of a memory go when it has had more than are kept."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import Final

from memcrdt.model import limits
from memcrdt.model.projection import Life

# A memory with more than so many is pruned by the commit that changes it, and not only at compaction: so that no shard
# grows without end. That is some more than are kept, so that few commits have to.
TOO_MANY: Final = limits.REVISIONS + limits.REVISIONS // 8


def prunable(life: Life, most: int = limits.REVISIONS) -> list[str]:
    """The revisions to delete so that `most` remain, the birth and all heads among them.

    The oldest go first, but none before all that it was made from: a revision is superseded because a later
    one names it as its base, so that one whose successor went before it would be a head again.
    """
    excess = len(life.revisions) - most
    edits = {revision.revision: revision for revision in life.revisions[1:]}
    bases = {name: {base for base in edit.base if base in edits} - {name} for name, edit in edits.items()}
    successors = defaultdict(list)
    for name, of in bases.items():
        for base in of:
            successors[base].append(name)
    ready = [(edits[name].at, name) for name, of in bases.items() if not of and not edits[name].head]
    heapq.heapify(ready)
    gone: list[str] = []
    while ready and len(gone) < excess:
        _, name = heapq.heappop(ready)
        gone.append(name)
        for successor in successors[name]:
            bases[successor].discard(name)
            if not bases[successor] and not edits[successor].head:
                heapq.heappush(ready, (edits[successor].at, successor))
    return gone
