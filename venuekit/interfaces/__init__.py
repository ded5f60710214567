"""What a plugin promises: records and protocols, versioned by `hooks.API_VERSION`."""
