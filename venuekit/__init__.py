"""Connect NautilusTrader v2 to trading venues, each venue a plugin."""
