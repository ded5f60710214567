"""Layers: each wraps a transport and is one (record, replay, faults)."""
