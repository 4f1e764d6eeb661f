"""The store: one SQLite file, one commit path. The only package that opens SQLite."""
