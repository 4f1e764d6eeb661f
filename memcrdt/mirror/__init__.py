"""Mirrors: a folder of text files and the memories of a scope, kept equal each way. The package knows no store."""
