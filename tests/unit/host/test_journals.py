"""Which journal a config means."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from attrs import evolve

from venuekit.errors import ConfigError
from venuekit.host.config import VenueConfig, parse_config
from venuekit.host.journals import JournalKeeper
from venuekit.runtime.journal import MemoryJournal
from venuekit.runtime.journal_file import FileJournal
from venuekit.runtime.telemetry import CounterTable

TEXT = '[venues.paradex]\nenvironment = "testnet"\nexecution = true\nkey = "env:NOT_READ"\n'


def config(tmp_path: Path, line: str = "") -> VenueConfig:
    return parse_config(TEXT + line, base=tmp_path, environ={}).venues["paradex"]


def keeper(config: VenueConfig, account: str | None = "0xabc") -> JournalKeeper:
    made = JournalKeeper(config, "PARADEX", None, CounterTable(), logging.getLogger("test"))
    made.account = account
    return made


def test_without_a_word_nothing_is_written(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert (found.journal, found.journal_durable) == ("memory", False)
    assert isinstance(keeper(found, None).opened(), MemoryJournal)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("journals", "journals/paradex-testnet-0xabc.journal"),
        ("mine.journal", "mine.journal"),
        ("a/b/mine.journal", "a/b/mine.journal"),
    ],
)
def test_a_folder_or_a_file_beside_the_config(tmp_path: Path, given: str, file: str) -> None:
    made = keeper(config(tmp_path, f'journal = "{given}"\n'))
    journal = made.opened()
    assert isinstance(journal, FileJournal)
    assert journal.path == tmp_path / file
    with pytest.raises(ConfigError, match="in use by another node"):
        keeper(config(tmp_path, f'journal = "{given}"\n')).opened()
    made.close()
    made.close()
    again = keeper(config(tmp_path, f'journal = "{given}"\njournal_durable = true\n'))
    assert again.opened()._db.execute("PRAGMA synchronous").fetchone() == (2,)
    again.close()


def test_one_file_is_not_shared_by_accounts(tmp_path: Path) -> None:
    found = config(tmp_path, 'journal = "mine.journal"\n')
    keeper(found).opened().close()
    with pytest.raises(ConfigError, match="of another account"):
        keeper(found, "0xdef").opened()
    with pytest.raises(ConfigError, match="is a journal of PARADEX testnet"):
        keeper(evolve(found, environment="prod")).opened()


def test_a_file_needs_an_account(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"venues\.paradex\.journal"):
        keeper(config(tmp_path, 'journal = "journals"\n'), None).opened()


def test_a_journal_that_was_given_stays_open(tmp_path: Path) -> None:
    given = MemoryJournal()
    made = JournalKeeper(config(tmp_path), "PARADEX", given, CounterTable(), logging.getLogger("test"))
    assert made.opened() is given
