"""Identity, authentication, sockets, and the loop that joins them to the sync state machine."""
