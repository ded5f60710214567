"""dYdX v4, a venue of venuekit."""
