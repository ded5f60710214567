"""The fate of a command: what each piece of evidence makes of it, as tables that the tracker executes.

A command has an effect or it has none, whatever becomes of its reply. These tables say what is known of it
after each piece of evidence, and what follows; they have a cell for every fate and every evidence. How the
order lives on (open, filled, ended) is told by `core.telling` and is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen


class Fate(Enum):
    """What is known of a command; the value says it in words."""

    NONE = "not asked for"
    HELD = "waits for the venue's order id"
    LOCAL = "nothing of it can have left"
    FLYING = "handed to the port, no reply yet"
    RECEIVED = "the venue has it and has not decided"
    UNKNOWN = "its bytes may have left and no reply will come"
    SEEN = "it took effect: the venue showed the order"
    REFUSED = "it had no effect, with proof"


class Heard(Enum):
    """One piece of evidence about a command; the value says it in words."""

    ASKED = "the strategy asks for it"
    ASKED_NAMELESS = "the strategy asks for it, and the venue's order id is needed and not known"
    NAMED = "the venue's order id became known"
    SENT = "its bytes are handed to the port"
    NOT_SENT = "no reply, and nothing can have left"
    MAYBE_SENT = "no reply, and bytes may have left"
    RECEIVED = "the reply says that the venue has it"
    REFUSED = "the reply proves that it has no effect"
    GONE = "the reply says that the order is not open"
    AMBIGUOUS = "the reply proves nothing"
    UNDECIDED = "a record: the venue has it and has not decided"
    SHOWN = "a record or a fill: the order is open, or something of it was filled"
    CLOSED = "a record: it ended with nothing filled"
    DECLINED = "a record: it ended as refused, with nothing filled"
    SILENT = "a look-up that failed, or brought nothing that proves anything"
    DENIED_EARLY = "a look-up that should have found it did not, asked too early to be sure"
    DENIED = "the same, asked late enough, and again once history shows what had ended by then"
    DENIED_OFTEN = "the same, the third time in a row"
    NAME_TAKEN = "a look-up asked late enough: another order has the id"
    OPEN_STILL = "a look-up asked late enough: the order is open"


class Then(Enum):
    """What the tracker does beside moving the fate."""

    NOTHING = ""
    DOUBT = "looked up"
    RESEND = "sent again once seen open"
    REJECT = "told as rejected"
    DISBELIEVE = "counted, not believed"
    SEND = "sent"
    HOLD = "held"
    DECIDE = "ended by the venue's values"
    VANISHED = "expired after its last moment, else an alarm"
    ALARM = "an alarm"


class Ask(Enum):
    """When a command in this fate is looked up."""

    SOON = "at once, then with back-off"
    SETTLED = "once the venue's lists must show it, then with back-off"


ASKED: Final[Mapping[Fate, Ask]] = {Fate.RECEIVED: Ask.SETTLED, Fate.UNKNOWN: Ask.SOON}
"""Fates that are asked about; all others wait for a reply, or are decided."""


@frozen
class Step:
    """One cell: the next fate (None: the same), and what follows."""

    to: Fate | None = None
    then: Then = Then.NOTHING


@frozen
class Table:
    """Every fate of one kind of command under every piece of evidence about it."""

    fates: tuple[Fate, ...]
    steps: Mapping[Heard, Mapping[Fate, Step]]

    def next(self, fate: Fate, heard: Heard) -> tuple[Fate, Then]:
        """The fate after this evidence, and what follows."""
        step = self.steps[heard][fate]
        return step.to or fate, step.then


def _table(fates: tuple[Fate, ...], rows: Mapping[Heard, tuple[Step, ...]]) -> Table:
    return Table(fates, {heard: dict(zip(fates, row, strict=True)) for heard, row in rows.items()})


_STAY = Step()
_FLY = Step(Fate.FLYING)
_HAVE = Step(Fate.RECEIVED)
_SEE = Step(Fate.SEEN)
_DOUBT = Step(Fate.UNKNOWN, Then.DOUBT)
_REJECT = Step(Fate.REFUSED, Then.REJECT)
_DECLINE = Step(Fate.REFUSED)
_BELIE = Step(None, Then.DISBELIEVE)
_VANISH = Step(None, Then.VANISHED)
_REVIVE = Step(Fate.SEEN, Then.ALARM)
_SEND = Step(Fate.LOCAL, Then.SEND)
_HOLD = Step(Fate.HELD, Then.HOLD)
_RESEND = Step(Fate.UNKNOWN, Then.RESEND)
_DECIDE = Step(None, Then.DECIDE)

# What the venue was seen to have is never doubted again, and no second sending undoes a first one.
SUBMIT: Final = _table(
    (Fate.LOCAL, Fate.FLYING, Fate.RECEIVED, Fate.UNKNOWN, Fate.SEEN, Fate.REFUSED),
    {
        Heard.SENT: (_FLY, _FLY, _STAY, _STAY, _STAY, _STAY),
        Heard.NOT_SENT: (_REJECT, _REJECT, _BELIE, _BELIE, _BELIE, _STAY),
        Heard.MAYBE_SENT: (_DOUBT, _DOUBT, _STAY, _STAY, _STAY, _STAY),
        Heard.RECEIVED: (_HAVE, _HAVE, _STAY, _HAVE, _STAY, _STAY),
        Heard.REFUSED: (_REJECT, _REJECT, _BELIE, _BELIE, _BELIE, _STAY),
        Heard.AMBIGUOUS: (_DOUBT, _DOUBT, _STAY, _STAY, _STAY, _STAY),
        Heard.UNDECIDED: (_STAY, _HAVE, _STAY, _HAVE, _STAY, _STAY),
        Heard.SHOWN: (_SEE, _SEE, _SEE, _SEE, _STAY, _REVIVE),
        Heard.CLOSED: (_SEE, _SEE, _SEE, _SEE, _STAY, _STAY),
        Heard.DECLINED: (_DECLINE, _DECLINE, _DECLINE, _DECLINE, _STAY, _STAY),
        Heard.SILENT: (_STAY, _STAY, _STAY, _STAY, _STAY, _STAY),
        Heard.DENIED_EARLY: (_STAY, _STAY, _STAY, _STAY, _VANISH, _STAY),
        Heard.DENIED: (_STAY, _STAY, _STAY, _REJECT, _VANISH, _STAY),
        Heard.DENIED_OFTEN: (_STAY, _STAY, _REJECT, _REJECT, _VANISH, _STAY),
        Heard.NAME_TAKEN: (_STAY, _STAY, _REJECT, _REJECT, _STAY, _STAY),
    },
)
"""Did the submit take effect?"""

# A cancel may be repeated: an order can be cancelled only once. It takes effect when the order has ended, and
# then it is dropped with whatever was known of it.
CANCEL: Final = _table(
    (Fate.NONE, Fate.HELD, Fate.LOCAL, Fate.FLYING, Fate.RECEIVED, Fate.UNKNOWN),
    {
        Heard.ASKED: (_SEND, _STAY, _STAY, _STAY, _SEND, _SEND),
        Heard.ASKED_NAMELESS: (_HOLD, _STAY, _STAY, _STAY, _HOLD, _HOLD),
        Heard.NAMED: (_STAY, _SEND, _STAY, _STAY, _STAY, _STAY),
        Heard.SENT: (_STAY, _FLY, _FLY, _FLY, _FLY, _FLY),
        Heard.NOT_SENT: (_STAY, _STAY, _RESEND, _RESEND, _RESEND, _RESEND),
        Heard.MAYBE_SENT: (_STAY, _STAY, _DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.RECEIVED: (_STAY, _STAY, _HAVE, _HAVE, _STAY, _HAVE),
        Heard.REFUSED: (_STAY, _STAY, _REJECT, _REJECT, _REJECT, _REJECT),
        Heard.GONE: (_STAY, _STAY, _DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.AMBIGUOUS: (_STAY, _STAY, _DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.SILENT: (_STAY, _STAY, _STAY, _STAY, _STAY, _STAY),
        Heard.OPEN_STILL: (_STAY, _STAY, _STAY, _STAY, _SEND, _SEND),
    },
)
"""Is the order being cancelled?"""

# Which of several pending changes a record ends, and with which values, is told by `core.telling`.
MODIFY: Final = _table(
    (Fate.LOCAL, Fate.FLYING, Fate.RECEIVED, Fate.UNKNOWN),
    {
        Heard.SENT: (_FLY, _FLY, _FLY, _FLY),
        Heard.NOT_SENT: (_REJECT, _REJECT, _REJECT, _REJECT),
        Heard.MAYBE_SENT: (_DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.RECEIVED: (_HAVE, _HAVE, _STAY, _HAVE),
        Heard.REFUSED: (_REJECT, _REJECT, _REJECT, _REJECT),
        Heard.GONE: (_DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.AMBIGUOUS: (_DOUBT, _DOUBT, _DOUBT, _DOUBT),
        Heard.SILENT: (_STAY, _STAY, _STAY, _STAY),
        Heard.OPEN_STILL: (_STAY, _STAY, _DECIDE, _DECIDE),
    },
)
"""Did the change take effect?"""
