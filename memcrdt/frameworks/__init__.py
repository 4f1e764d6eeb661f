"""The memory in the places where agent frameworks look for one: an adapter for each, in a module of its own.

The adapters decide nothing. They stand on three shared ones, over the calls that all faces share: `recall` finds and
remembers, `history` has the items of a conversation, `files` is a tree of files. Only the module of a framework imports
it. `extras` says what to install.
"""
