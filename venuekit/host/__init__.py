"""Plugins, configuration, secrets, and the one composition root."""
