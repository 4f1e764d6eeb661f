"""Memories of other programs: a module for each source translates its items, and knows neither files nor the store."""
