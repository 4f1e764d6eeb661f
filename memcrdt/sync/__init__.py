"""Sync without I/O: messages, the session with one peer, and what they ask of a replica."""
