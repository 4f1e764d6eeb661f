"""Answering a query: candidates, their features, and the ranking."""
