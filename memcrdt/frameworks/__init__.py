"""The memory in the places where agent frameworks look for one: an adapter for each, in a module of its own.

The adapters decide nothing. They stand on four shared ones, over the calls that all faces share: `recall` finds and
remembers, `history` has the items of a conversation, `files` is a tree of files, `values` has bytes under keys. Only
the module of a framework imports it. `extras` says what to install.
"""
