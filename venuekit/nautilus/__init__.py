"""The NautilusTrader bridge: thin clients over the two services, and nodes built from one config."""
