"""The proxy between an agent's MCP client and the servers of a deployment.

admit     what the proxy needs of a gate, and the life of one call through it
back      one server of the manifest: started or reached, listed, called, reconnected
pipe      calls over a server's pipe, past the layers of the library's client
wire      the raw newline-delimited JSON-RPC of a process or of this process
names     the names that clients see, and texts of servers made safe to show
calls     `tools/list` and `tools/call`
direct    calls of the 2026 era on a stream, past the layers of the library's server
methods   every other request and notification, decided as calls of a tool of that name
front     the server that clients speak to, in both protocol eras
http      that server over streamable HTTP: who may reach it
serve     all of it, over stdio, a port or a unix socket
"""
