"""The simulated deployment as an MCP server, for any agent that speaks the protocol."""
