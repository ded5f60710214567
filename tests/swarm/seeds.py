"""Seeds of the swarm by number: `python tests/swarm/seeds.py --seed 1 --count 200`; `make seeds` calls it.

It stops by itself: after `count` seeds or `minutes`, or at the first seed that fails, with its replay line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

for folder in (Path(__file__).parents[1] / "support", Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from plan import CANNOT, CUTS, KINDS, MOVES  # noqa: E402 - found through the line above
from swarm import Outcome, replay_line, run_seed  # noqa: E402

REPEATED = 20


def _hits(outcomes: Iterable[Outcome]) -> Counter[str]:
    hit: Counter[str] = Counter()
    for one in outcomes:
        for what in (one.kinds, one.cuts, one.moves):
            hit.update(what)
    return hit


def never_hit(outcomes: Iterable[Outcome]) -> list[str]:
    """Fault kinds, cut points and moves that no seed hit, without those that cannot be."""
    hit = _hits(outcomes)
    return [name for name in (*KINDS, *CUTS, *MOVES) if not hit[name] and name not in CANNOT]


def table(outcomes: Sequence[Outcome]) -> str:
    """How often each was hit, and why what cannot be hit is not asked for."""
    hit, judged = _hits(outcomes), [name for name in (*KINDS, *CUTS, *MOVES) if name not in CANNOT]
    counts = " ".join(f"{name.replace(' ', '-')}:{hit[name]}" for name in judged)
    return "\n".join([counts, *(f"{name} is not judged: {why}" for name, why in CANNOT.items())])


def hole(outcomes: Sequence[Outcome]) -> str | None:
    """What all these seeds together never hit, with the whole table; None when nothing is missing."""
    missed = never_hit(outcomes)
    if not missed:
        return None
    return f"never hit in {len(outcomes)} seeds: {', '.join(missed)}\n{table(outcomes)}"


def failure(outcomes: Sequence[Outcome]) -> str | None:
    """What the first failing seed says, with one line that replays it; None when all passed."""
    failed = [one for one in outcomes if one.violations]
    if not failed:
        return None
    first = min(failed, key=lambda one: one.seed)
    shown = list(dict.fromkeys(first.violations))
    others = ", ".join(str(one.seed) for one in failed if one is not first)
    lines = [f"seed {first.seed}: {len(shown)} violations", *(f"  {text[:1_500]}" for text in shown[:8])]
    return "\n".join([*lines, *([f"also failing: {others}"] if others else []), replay_line(first.seed)])


def summary(outcomes: Sequence[Outcome], secs: float) -> str:
    """The closing line."""
    rests = sorted(ms for one in outcomes for ms in one.recovery_ms)
    orders, fills = sum(one.orders for one in outcomes), sum(one.fills for one in outcomes)
    faults, checks = sum(sum(one.kinds.values()) for one in outcomes), sum(one.checks for one in outcomes)
    p50, p99 = (rests[int(len(rests) * part)] if rests else 0 for part in (0.5, 0.99))
    return (
        f"{len(outcomes)} seeds in {secs:.0f} s, {len(outcomes) / secs:.2f} seeds/s: {orders} orders, "
        f"{fills} fills, {faults} faults acted, {checks} rests checked; "
        f"from the last fault to rest {p50} ms p50, {p99} ms p99"
    )


def digests(seeds: Sequence[int], hash_seed: str) -> list[dict[str, str]]:
    """The digests of these seeds, made by another process with this PYTHONHASHSEED."""
    command = [sys.executable, __file__, "--digest", *map(str, seeds)]
    made = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in made.stdout.splitlines()]


def repeats(seeds: Sequence[int]) -> list[int]:
    """Seeds whose two runs in two processes differ."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(digests, (seeds, seeds), ("1", "2"))
    return [seed for seed, first, second in zip(seeds, one, other, strict=True) if first != second]


def _all(first: int, count: int, minutes: float, jobs: int) -> tuple[list[Outcome], float]:
    began = told = time.monotonic()
    outcomes: list[Outcome] = []
    following = iter(range(first, first + count))
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(run_seed, seed) for seed in islice(following, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            outcomes += [one.result() for one in done]
            now = time.monotonic()
            if now - told > 10:
                told = now
                print(f"{len(outcomes)} seeds, {len(outcomes) / (now - began):.2f} seeds/s", flush=True)
            if failure(outcomes) is None and now - began < minutes * 60:
                running |= {pool.submit(run_seed, seed) for seed in islice(following, len(done))}
    return outcomes, time.monotonic() - began


def main() -> int:
    """0 when every seed passed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--digest", type=int, nargs="+")
    args = parser.parse_args()
    if args.digest:
        for seed in args.digest:
            print(json.dumps(run_seed(seed).digest, sort_keys=True))
        return 0
    outcomes, secs = _all(args.seed, args.count, args.minutes, args.jobs)
    if len(outcomes) < 200:
        print(f"{table(outcomes)}\n{len(outcomes)} seeds are too few to judge what was never hit")
    missed = hole(outcomes) if len(outcomes) >= 200 else None
    differ = repeats([one.seed for one in outcomes[:REPEATED]]) if len(outcomes) >= REPEATED else []
    if len(outcomes) >= 200:
        print(missed or table(outcomes))
    if differ:
        print(f"not the same twice: {differ}\n{replay_line(differ[0])}")
    if (text := failure(outcomes)) is not None:
        print(text)
    print(summary(outcomes, secs))
    return 1 if missed or differ or text else 0


if __name__ == "__main__":
    sys.exit(main())
