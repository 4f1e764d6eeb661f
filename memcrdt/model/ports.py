"""The default TCP ports of memcrdt."""

from __future__ import annotations

from typing import Final

DEFAULT_PORT: Final = 27380  # "CRDT" on a telephone's keys, and 0; not registered with IANA, below the ephemeral ports
DEFAULT_YJS_PORT: Final = DEFAULT_PORT + 1
DEFAULT_PAIRING_PORT: Final = DEFAULT_PORT + 2

DEFAULT_HTTP_PORT: Final = DEFAULT_PORT + 10  # after AUTO_PORTS
DEFAULT_MCP_PORT: Final = DEFAULT_PORT + 11
DEFAULT_RELAY_PORT: Final = DEFAULT_PORT + 12
DEFAULT_METRICS_PORT: Final = DEFAULT_PORT + 13

AUTO: Final = "auto"  # the first free one of these ports, or else any free port
# Few, and the same every time, because other devices remember the port and firewalls know it.
AUTO_PORTS: Final = (DEFAULT_PORT, *range(DEFAULT_PORT + 3, DEFAULT_PORT + 10))
