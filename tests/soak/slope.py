"""A straight line through samples of a noisy figure, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, median

from attrs import frozen

BLOCKS = 20
SURE = 3
"""As many times the limit may the half width of the interval be."""
_T95 = {
    1: 12.7,
    2: 4.30,
    3: 3.18,
    4: 2.78,
    5: 2.57,
    6: 2.45,
    7: 2.36,
    8: 2.31,
    9: 2.26,
    10: 2.23,
    12: 2.18,
    15: 2.13,
    18: 2.10,
}
"""Two-sided 95 % of Student's t, by degrees of freedom."""


@frozen
class Line:
    """Growth an hour, with the half width of its 95 % interval."""

    an_hour: float
    within: float

    def at_most(self, limit: float) -> bool:
        """True when the samples do not show more than `limit`: the interval reaches down to it."""
        return self.an_hour - self.within <= limit

    def shows_at_most(self, limit: float) -> bool:
        """True when growth is not more, and known well enough to say so."""
        return self.an_hour <= limit and self.within <= SURE * limit


def line(samples: Sequence[tuple[float, float]], stretch_secs: float | None = None) -> Line:
    """Least squares over the middles of equal stretches of (seconds, value), by default `BLOCKS` of them.

    Neighbouring samples say nearly the same, so single samples would promise too much certainty. With
    `stretch_secs` the middle is the mean, and a stretch that is not whole at the end does not count: for a
    value that goes up and down with that period.
    """
    first, last = samples[0][0], samples[-1][0]
    width = stretch_secs or (last - first) / BLOCKS
    if not width:
        return Line(0.0, float("inf"))
    count = int((last - first) / width + 0.05) if stretch_secs else BLOCKS
    blocks: dict[int, list[tuple[float, float]]] = {}
    for at, value in samples:
        number = int((at - first) / width)
        if number < count or not stretch_secs:
            blocks.setdefault(min(count - 1, number), []).append((at, value))
    middle = fmean if stretch_secs else median
    points = [(middle([a for a, _ in rows]), middle([v for _, v in rows])) for rows in blocks.values()]
    n = len(points)
    if n < 3:
        return Line(0.0, float("inf"))
    x0, y0 = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - x0) ** 2 for x, _ in points)
    slope = sum((x - x0) * (y - y0) for x, y in points) / spread
    rest = sum((y - y0 - slope * (x - x0)) ** 2 for x, y in points)
    error = sqrt(rest / (n - 2) / spread)
    t = next((value for freedom, value in sorted(_T95.items(), reverse=True) if freedom <= n - 2), 12.7)
    return Line(slope * 3600, t * error * 3600)
