"""A memory for AI agents that lives on the user's own machines."""
