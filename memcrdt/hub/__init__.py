"""A store in PostgreSQL, for a member device that is always on. Needs the extra `memcrdt[hub]`."""
