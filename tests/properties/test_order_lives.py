"""Whole lives of orders at a venue on paper, told over every road: what the engine hears is what happened.

A seed draws orders of ours and of others in one market, what becomes of them, and how bad the roads are. See
`evidence_judge` for what must hold. `make lives` runs 20,000; a failure prints the fewest acts that still
fail, what was said and told, and the line that replays it.
"""

from __future__ import annotations

import os

import pytest
from lives import told

COUNT = int(os.environ.get("VENUEKIT_LIVES", "240"))
FIRST = int(os.environ.get("VENUEKIT_LIVES_FROM", "1"))
CHUNKS = 4


@pytest.mark.timeout(120 if COUNT < 1_000 else 0)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_the_engine_hears_is_what_happened(chunk: int) -> None:
    for seed in range(FIRST + chunk, FIRST + COUNT, CHUNKS):
        if (text := told(seed)) is not None:
            pytest.fail(text, pytrace=False)
