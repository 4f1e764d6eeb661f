"""Memories of other programs: a module for each source yields its items, and knows no memories of the store."""
