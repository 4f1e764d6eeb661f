"""Yjs documents: Shard, the only user of pycrdt, and the scan of untrusted updates, which does not need pycrdt.

Import `memcrdt.crdt.shard` to open a document and `memcrdt.crdt.scan` to check bytes. Nothing is re-exported here, so
that the scan stays cheap to import.
"""
