"""Lighter, a venue of venuekit."""
