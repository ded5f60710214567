"""venuekit logs with the standard library; a node shows those lines in its own log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nautilus_trader.common import Logger

ROOT = "venuekit"


class NautilusHandler(logging.Handler):
    """Writes records to the log of the running node, each under its logger's name."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._loggers: dict[str, Logger] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """The record is a line of Nautilus's log after this."""
        try:
            text = self.format(record)
            logger = self._loggers.get(record.name)
            if logger is None:
                logger = self._loggers[record.name] = Logger(record.name)
            _writer(logger, record.levelno)(text)
        except Exception:  # noqa: BLE001 - logging's own contract: a handler reports to `handleError`, never raises
            self.handleError(record)


def _writer(logger: Logger, level: int) -> Callable[[str], None]:
    if level >= logging.ERROR:
        return logger.error
    if level >= logging.WARNING:
        return logger.warning
    if level >= logging.INFO:
        return logger.info
    return logger.debug


def forward_logs(level: int = logging.INFO) -> Callable[[], None]:
    """Lines of `venuekit.*` from `level` up go to Nautilus's log, and only there, until the result is called.

    Above CRITICAL nothing changes: with Nautilus's log off, our lines still go where they went before.
    """
    if level > logging.CRITICAL:
        return lambda: None
    logger = logging.getLogger(ROOT)
    handler = NautilusHandler(level)
    before, spread = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    if logger.getEffectiveLevel() > level:
        logger.setLevel(level)

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = spread

    return stop
