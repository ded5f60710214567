"""Bytes of Paradex: SBE frames, JSON texts, and the exact numbers in them."""
