"""One ASGI app over a memory: REST at /v1, MCP at /mcp, and static files at /."""
