"""Examine and repair damaged files."""
