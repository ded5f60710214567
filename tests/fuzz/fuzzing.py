"""Runs damaged input through a target: no uncaught exception, no hang, no memory that stays or explodes."""

from __future__ import annotations

import base64
import contextlib
import gc
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import FrameType

from attrs import define, frozen
from mutator import Mutator

FOUND = Path(__file__).parent / "found"
HANG_SECS = 10.0
"""No input is larger than some ten kilobytes: whatever takes longer than this on one will not end."""
MEMORY_MIB = 64
"""How much more a target may hold at any moment than before its first run."""

type Feed = Callable[[bytes], None]


@frozen(kw_only=True)
class Target:
    """A door for input. `open` gives a fresh one every `block` runs; what it raises is a find."""

    name: str
    open: Callable[[], Feed]
    make: Callable[[Mutator], bytes]
    block: int = 250


class HangError(BaseException):
    """One input takes too long; no `except Exception` of the code under test may catch this."""


@define
class FindError(Exception):
    """Inputs (the last one of them is the culprit) that a target did not survive."""

    target: str
    seed: int
    run: int
    inputs: tuple[bytes, ...]
    error: str

    @property
    def replay(self) -> str:
        """The command that does it again."""
        return f'make fuzz ARGS="--target {self.target} --seed {self.seed} --run {self.run}"'

    def __str__(self) -> str:
        return f"{self.error}\n  replay: {self.replay}"


def fuzz(target: Target, *, seed: int, runs: int, first: int = 0) -> int:
    """Inputs `first` to `first + runs - 1` of a seed were survived; their number. Raises FindError."""
    feed, fed = target.open(), list[bytes]()
    before = _start_memory()
    with watch():
        for run in range(first - first % target.block, first + runs):
            if run % target.block == 0:
                feed, fed = target.open(), []
            data = target.make(Mutator(f"{seed}/{target.name}/{run}"))
            fed.append(data)
            error = _fed(feed, data) or _too_much(before)
            if error:
                raise FindError(target.name, seed, run, _shortest(target, fed), error)
    return runs


def replay(target: Target, inputs: Sequence[bytes]) -> str:
    """What a fresh target says of these inputs, one after the other; empty when it survives them."""
    feed, before = target.open(), _start_memory()
    with watch():
        return next(filter(None, (_fed(feed, data) or _too_much(before) for data in inputs)), "")


def _fed(feed: Feed, data: bytes) -> str:
    signal.setitimer(signal.ITIMER_REAL, HANG_SECS)
    try:
        feed(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of native code is no Exception
        return f"{type(error).__name__}: {str(error)[:300]} {_where(error)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    lines = []
    while trace is not None:
        lines.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return "at " + " > ".join(lines[-4:])


def _shortest(target: Target, fed: list[bytes]) -> tuple[bytes, ...]:
    """The last input alone where that is enough."""
    return (fed[-1],) if replay(target, fed[-1:]) else tuple(fed)


@contextlib.contextmanager
def watch() -> Iterator[None]:
    """Inputs are bounded in time."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"not done within {HANG_SECS} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- memory: the highest moment of this process since `_start_memory`, from Linux's own books


def _start_memory() -> int | None:
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _peak_kib()


def _peak_kib() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text[text.index("VmHWM:") + 6 :].split(None, 1)[0])


def _too_much(before: int | None) -> str:
    if before is None:
        return ""
    # Never less than the peak but for what each processor has yet to count, and far cheaper to ask for.
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_MIB * 1024 // 2:
        return ""
    grown = (_peak_kib() - before) // 1024
    return f"the process grew by {grown} MiB" if grown > MEMORY_MIB else ""


# --- finds that are kept


def keep(find: FindError) -> Path:
    """The find is a file that the tests replay from now on."""
    digest = blake2b(find.inputs[-1], digest_size=4).hexdigest()
    path = FOUND / find.target / f"{digest}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# {find.error.splitlines()[0][:160]}",
        *(base64.b64encode(one).decode() for one in find.inputs),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def kept(path: Path) -> list[bytes]:
    """The inputs of such a file."""
    return [base64.b64decode(line) for line in path.read_text().splitlines() if not line.startswith("#")]
