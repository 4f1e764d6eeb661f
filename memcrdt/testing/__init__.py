"""Tools for tests: of agents that use memcrdt, and of parts that are put in the place of memcrdt's own.

`temporary()` opens a memory without files, `Clock` is its clock, and `exchange()` merges several memories. The modules
of this package hold the rest: a simulated network, a disk that fails, fakes, and acceptance suites.
"""

from memcrdt.testing.memories import Clock, exchange, temporary

__all__ = ["Clock", "exchange", "temporary"]
