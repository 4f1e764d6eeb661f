"""Stock Yjs clients: y-protocols over a WebSocket of its own, one shard a connection."""
