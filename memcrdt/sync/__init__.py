"""Sync without I/O: the messages, the session with one peer, and the sessions of a node."""
