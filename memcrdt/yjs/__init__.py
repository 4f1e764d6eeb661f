"""Access for stock Yjs clients: y-protocols over WebSockets, one connection per shard."""
