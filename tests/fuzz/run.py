"""`make fuzz`: any number of damaged inputs for every target, or for one; finds are kept for the tests."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from client_targets import client_targets
from fuzzing import FindError, Target, fuzz, keep, kept, replay
from reading_targets import reading_targets
from simulator_targets import simulator_targets

STUCK_SECS = 60
"""Native code that holds the interpreter hears no alarm: after this the process ends with all its stacks."""


def main() -> int:
    """0 when everything was survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=None, help="default: one from the time, which is printed")
    parser.add_argument("--target", help="one target; default: all")
    parser.add_argument("--run", type=int, help="this input alone, after those before it in its block")
    parser.add_argument("--file", type=Path, help="replay a kept find")
    parser.add_argument("--list", action="store_true", help="name the targets")
    args = parser.parse_args()
    targets = {one.name: one for one in (*client_targets(), *reading_targets(), *simulator_targets())}
    if args.list:
        print("\n".join(targets))
        return 0
    if args.target is not None and args.target not in targets:
        parser.error(f"unknown target; one of {', '.join(targets)}")
    chosen = list(targets.values()) if args.target is None else [targets[args.target]]
    if args.file:
        error = replay(targets[args.file.parent.name], kept(args.file))
        print(error or "survived")
        return 1 if error else 0
    seed = int(time.time()) if args.seed is None else args.seed
    first, runs = (0, args.runs) if args.run is None else (args.run, 1)
    return max([_one(target, seed, first, runs) for target in chosen])


def _one(target: Target, seed: int, first: int, runs: int) -> int:
    started = time.monotonic()
    at, end = first, first + runs
    try:
        while at < end:
            step = min(2_000, end - at)
            faulthandler.dump_traceback_later(STUCK_SECS, exit=True)
            print(f"{target.name} seed {seed} from run {at}", end="\r", file=sys.stderr, flush=True)
            at += fuzz(target, seed=seed, runs=step, first=at)
    except FindError as find:
        print(f"{target.name}: {find}\n  kept as {keep(find)}")
        return 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    print(f"{target.name}: {runs} inputs of seed {seed} survived in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
