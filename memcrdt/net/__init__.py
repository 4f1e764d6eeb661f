"""Transport only: identity, authentication, frame streams, and the discovery of addresses."""
