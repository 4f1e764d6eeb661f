"""Tools for tests of agents that use memcrdt, and of replacements for parts of memcrdt.

`temporary()` opens a memory without files, `Clock` is its clock, and `exchange()` merges several memories. The modules
of this package have more: a simulated network, a disk that fails, fakes, and acceptance suites.
"""

from memcrdt.testing.memories import Clock, exchange, temporary

__all__ = ["Clock", "exchange", "temporary"]
