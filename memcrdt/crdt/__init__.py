"""Yjs documents: Shard, the only user of pycrdt, and the scan of untrusted updates, which needs none of it.

Import `memcrdt.crdt.shard` where a document is opened and `memcrdt.crdt.scan` where bytes are looked at;
nothing is re-exported here, so that the scan stays cheap to import.
"""
