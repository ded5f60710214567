"""Bytes: the drivers of HTTP, WebSocket and RPC, and the layers around them.

Factories behind TRANSPORT descriptors: `http/<name>` and `rpc/<name>`:
`(base_url, *, clock, timeouts_ms, options) -> RequestPort` with
`async close()`; `stream/<name>`: `(*, clock, options) -> StreamTransport`; `layer/<name>`: see
`transport.layers`.
"""
