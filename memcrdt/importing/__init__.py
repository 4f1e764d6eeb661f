"""Memories of other programs: a module for each source yields its items, and does not know the store."""
