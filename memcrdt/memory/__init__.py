"""The facade: Memory and AsyncMemory, their views and parts, the change feed, files, and retention."""
