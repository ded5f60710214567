"""What every counter means: the help texts of the metrics and the rows of the counters page.

`<...>` in a name stands for what is only known when it counts; it becomes a label of the metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

COUNTERS: Final[Mapping[str, str]] = {
    # Streams
    "frames.in": "frames received",
    "frames.handled": "frames decoded and handed on without trouble",
    "frames.out": "frames sent",
    "frames.failed": "frames whose handler raised; the books and orders they touch are read anew",
    "frames.stale": "frames of a connection that was over, dropped",
    "frames.undecodable": "frames on which a codec broke its promise: it raised, or said nothing",
    "quarantined.<kind>": "records or frames that could not be trusted, by reason; the log says why",
    "ignored.<kind>": "records known and of no use, by reason",
    "session.ended.<how>": "connections, or attempts at one, that ended, by how",
    "session.lost": "losses that a codec found in its stream",
    "session.listener_failed": "listeners of a session's state that raised",
    "session.handler_failed_twice": "handlers that raised again on the doubt that their first failure raised",
    "session.connection_crashed": "connections that a defect in a codec or driver ended; they are made anew",
    "session.shard_failed": "further connections that cannot work; their topics bring nothing",
    "topics.confirmed": "subscriptions that the venue confirmed",
    "topics.left": "unsubscriptions that the venue confirmed",
    "topics.refused": "subscriptions that the venue refused",
    "topics.put_off": "subscriptions refused for a reason that passes; asked for again, ever later",
    "topics.duplicate": "subscriptions that the venue had already",
    "topics.unexpected_ack": "acknowledgements of topics that nobody asked about",
    "topics.ended_by_venue": "subscriptions that the venue ended unasked; they are asked for again",
    "topics.unanswered": "subscriptions without an answer in time; they are asked for again",
    "topics.probed": "topics subscribed anew to see whether a connection that says nothing still answers",
    "topics.mute": "topics that brought nothing for longer than their kind may; subscribed anew",
    "topics.mute_connection": "topics that stayed mute after that; their connection is opened anew",
    "topics.resync": "topics left and joined again for a fresh snapshot",
    # Market data
    "data.unwanted": "data of instruments that nobody wants now",
    "book.no_levels": "book frames that moved the sequence and carried no level",
    "book.repeated": "book frames that came twice",
    "book.before_snapshot": "book frames dropped because the book was not whole",
    "book.broken": "books that broke; nothing is published until the next snapshot",
    "book.snapshot_overdue": "books whose snapshot did not come in time; it is asked for again",
    "book.snapshot_failed": "books whose snapshot could not be read; it is asked for again",
    "instruments.reload_failed": "changed instruments that could not be loaded anew",
    # Requests
    "requests.sent": "requests sent, every try counted",
    "requests.failed": "requests without a reply",
    "requests.retried": "reads tried again",
    "pacing.waited": "requests that waited for room under a limit",
    "pacing.refused_by_venue": "replies with status 429",
    "rpc.timeout": "requests over a stream without a reply in time",
    "rpc.mute": "streams opened anew because a request was not answered and nothing else came",
    "rpc.lost": "requests over a stream that were open when it ended",
    "rpc.reply_unmatched": "replies that no request waits for",
    "auth.obtain": "tokens asked for",
    "auth.obtain_failed": "tokens that could not be had",
    "auth.token_refused": "tokens that the venue refused",
    "auth.token_without_expiry": "tokens that do not say how long they live",
    "auth.token_expiry_in_the_past": "tokens that say they have ended",
    # The venue's clock
    "clock.answers.<worth>": "answers to what time it is, by worth; `wild`: synchronise this machine's clock",
    "clock.failed": "questions for the venue's time without an answer",
    "clock.broken": "answers to what time it is that broke what reads them; asked again like failed ones",
    "clock.refused_by_venue": "signed requests whose time the venue refused; its clock is measured anew",
    "clock.wall_steps": "times this machine's clock was set, or the machine slept",
    # Commands
    "orders.submitted": "orders reported as submitted",
    "orders.denied": "orders denied before the wire",
    "commands.dropped": "commands whose order ended while they waited; nothing was sent",
    "commands.broken": "commands that a defect stopped; sent ones are looked up",
    "commands.undrafted": "commands that the venue's code could not draft; nothing was sent",
    "commands.too_late": "submits and changes that could not leave within `order_wait_ms`; nothing was sent",
    "commands.state_unknown": "submits and changes kept here because the private state was lost",
    "commands.stamped_again": "commands sent again after a proof that the first had no effect",
    "commands.same_bytes": "commands whose very same bytes were sent twice, where the venue recognises them",
    "commands.signature_aged": "signatures made anew because they aged before they could leave",
    "commands.stamps_began_anew": "stamps earlier than one of a far too fast clock before them",
    "nonces.resync": "nonces read from the venue",
    "replies.<command>.<outcome>": "replies to commands, by what they prove",
    "sends_failed.<command>.<evidence>": "commands without a reply, by whether bytes may have left",
    # Orders and fills
    "orders.submit_unknown": "submits whose effect is unknown; they are looked up",
    "orders.modify_unknown": "modifies whose effect is unknown",
    "orders.cancel_unknown": "cancels whose effect is unknown",
    "orders.cancels_held": "cancels that wait for the venue's id of their order",
    "orders.unseen_ended": "foreign orders that began and ended out of sight, without a fill",
    "orders.foreign_names": "orders of other programs under a client id that an order of ours has had",
    "orders.two_names": "orders that turned out to be known under two names",
    "orders.stale_records": "order records older than what is known",
    "orders.old_leg_records": "records of a former leg of a replaced order",
    "orders.open_after_end": "records that call an order open that has ended",
    "orders.refused_against_evidence": "refusals of orders that were seen at the venue; they are looked up",
    "orders.proven_absent": "orders that a look-up proved never to have arrived",
    "orders.missing_in_list": "tracked orders that a list of open orders lacks; each is looked up",
    "orders.from_fills": "orders told from their fills because the venue forgot them",
    "fills.duplicates": "fills seen more than once; each counts once",
    "fills.without_order": "fills of orders that were not known",
    "fills.before_baseline": "fills that the state an order was taken over with contains already",
    "fills.voided": "fills that the venue took back",
    "lookups.asked": "look-ups of single orders",
    "lookups.failed": "look-ups without an answer; they are asked again",
    "lookups.not_found": "look-ups that found nothing",
    "lookups.broken": "look-ups that a defect stopped",
    "private.failed": "private records that could not be applied; the account is read anew",
    "private.positions": "position records seen on the private stream",
    "private.stale_balances": "balances older than what is known",
    "private.unexplained_positions": "positions told that the fills did not make: compared over REST",
    "private.unseen_fills": "fills that only a balance event knew: the account is compared over REST",
    "recovery.asked": "recoveries of the private state asked for",
    "recovery.done": "recoveries done",
    "recovery.failed": "recoveries that failed; they are tried again",
    "recovery.compared": "comparisons of the account while its stream was live",
    "recovery.kept_silent": "records that a live stream did not tell and a read brought; it is opened anew",
    "recovery.down": "times the private state became unknown; submits are denied until recovered",
    "reads.fills_failed": "reads of fills that failed; they are repeated",
    "reads.balances_failed": "reads of balances that failed",
    "reads.repeated_rows": "orders and fills that pages brought more than once; the newest counts",
    "reads.positions_older": "positions at the start that are older than the window of fills",
    "reads.positions_doubtful": "positions kept from the engine: the fills that were told do not make them",
    "reads.history_lags": "reads repeated because the venue's history trails its stream",
    "journal.open_intents": "orders of an earlier run without a proven end",
    "journal.failed": "entries that the journal could not write",
    "journal.upkeep_failed": "attempts to make a journal's files smaller that failed; they are repeated",
    "alarms.<kind>": "contradictions that a person should look at, by kind; the log says which order",
    # Towards the engine
    "reports.orders": "order reports given to the engine",
    "reports.fills": "fills given to the engine",
    "reports.undelivered": "reports that the engine did not take; they are offered again",
    "events.<event>": "order events given to the engine",
    "events.undelivered": "order events that the engine did not take",
    "events.without_order": "order events of orders that the engine does not have",
    "alarm.<kind>": "alarms that reached the engine's log",
    "bridge.data.disconnect_failed": "data clients that did not disconnect cleanly",
    "bridge.data.refused": "subscriptions and requests refused locally",
    "bridge.data.refused_by_engine": "data that the engine did not take",
    "bridge.data.request_failed": "data requests that failed",
    "bridge.data.subscribe_failed": "subscriptions that a defect stopped",
    "bridge.data.unsubscribe_failed": "unsubscriptions that a defect stopped",
    "bridge.exec.cancel_failed": "cancels that a defect stopped before the service had them",
    "bridge.exec.disconnect_failed": "execution clients that did not disconnect cleanly",
    "bridge.exec.external_orders": "orders of other programs that the engine was told of",
    "bridge.exec.foreign_thread": "events that came from another thread than the engine's",
    "bridge.exec.modify_failed": "modifies that a defect stopped before the service had them",
    "bridge.exec.order_missing": "commands for orders that the engine's cache does not have",
    "bridge.exec.ownerless": "orders of an earlier run that could not be given back to their strategy",
    "bridge.exec.positions_seen": "positions that the venue reported",
    "bridge.exec.query_failed": "queries that failed",
    "bridge.exec.refused_by_engine": "reports and events that the engine did not take",
    "bridge.exec.submit_failed": "submits that a defect stopped before the service had them",
    "bridge.exec.untold_at_stop": "reports and events that waited for the engine when their client stopped",
    # The process
    "tasks.crashed": "background tasks that ended with an error",
    "telemetry.refused": "requests to the metrics port that were refused or broke off",
    "telemetry.span_failed": "spans that the tracing library or its processors could not take",
    "faults.<kind>": "faults that the fault layer put in; none without it",
}
"""Every counter of the framework and of the venues kept with it, in the order of the page."""


@frozen
class Family:
    """A counter's name in the table, and what its `<...>` stand for here, by their words."""

    name: str
    meaning: str
    labels: tuple[tuple[str, str], ...] = ()


def family_of(counter: str) -> Family:
    """The row of a counter; one that a plugin made up is its own family without a meaning."""
    if (meaning := COUNTERS.get(counter)) is not None:
        return Family(counter, meaning)
    parts = counter.split(".")
    for name in _OPEN:
        words = name.split(".")
        # The last word takes the rest: a kind may hold dots itself.
        values = [*parts[: len(words) - 1], ".".join(parts[len(words) - 1 :])]
        pairs = list(zip(words, values, strict=False))
        if len(parts) >= len(words) and all(word == value for word, value in pairs if word[0] != "<"):
            labels = tuple((word[1:-1], value) for word, value in pairs if word[0] == "<")
            return Family(name, COUNTERS[name], labels)
    return Family(counter, "")


_OPEN: Final = tuple(name for name in COUNTERS if "<" in name)
