"""Simulator kit: a small, venue-neutral, deterministic exchange and the plumbing to serve a venue's protocol
over it.
"""
