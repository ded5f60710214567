"""Layers: each wraps a transport and is one (record, replay, faults).

A layer has `stream(transport) -> StreamTransport` and `port(port, name) -> RequestPort`; the composition root
puts it around the drivers.
"""
