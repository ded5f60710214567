"""The conformance suite: one judge for every venue."""
