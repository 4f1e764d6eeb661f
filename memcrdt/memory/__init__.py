"""The facade: Memory and AsyncMemory, their scoped and shared views, the change feed, files, and retention."""
