"""Paradex, a venue of venuekit."""
