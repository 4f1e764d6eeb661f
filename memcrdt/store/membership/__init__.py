"""Spaces, their members and devices: signed statements, peers, receipts and tokens."""
