"""The driver: joins the store, the sync state machine and the transport in one running process."""
