"""The MCP server: the memory as tools, resources and prompts of coding agents. Needs the extra `memcrdt[mcp]`."""
