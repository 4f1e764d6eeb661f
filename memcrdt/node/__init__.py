"""The running network of a store: joins store, sync and net in one process."""
