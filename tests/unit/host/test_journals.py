"""Which journal a config means."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from attrs import evolve
from venuekit_paradex.manifest import MANIFEST

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
    made = JournalKeeper(config, MANIFEST, None, CounterTable(), logging.getLogger("test"))
    made.account = account
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder."""
    found = tmp_path / "home"
    monkeypatch.setenv("HOME", str(found))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return found


def test_without_a_word_orders_are_kept_in_the_users_folder(tmp_path: Path, home: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    made = keeper(config(here))
    journal = made.opened()
    assert isinstance(journal, FileJournal)
    assert journal.path == home / ".local/share/venuekit/journals/paradex-testnet-0xabc.journal"
    # Wherever the config of another node is: one account, one node.
    with pytest.raises(ConfigError, match=r"in use by another node \(process \d+\)"):
        keeper(config(there)).opened()
    made.close()
    assert not here.exists()


def test_the_users_data_folder_may_be_elsewhere(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = keeper(config(tmp_path))
    journal = made.opened()
    assert isinstance(journal, FileJournal)
    assert journal.path.parent == tmp_path / "data/venuekit/journals"
    made.close()


@pytest.mark.parametrize(("environment", "line"), [("testnet", 'journal = "memory"\n'), ("simulator", "")])
def test_nothing_is_written_for_a_simulator_or_when_memory_is_asked_for(
    tmp_path: Path, home: Path, environment: str, line: str
) -> None:
    found = evolve(config(tmp_path, line), environment=environment)
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
        keeper(evolve(found, environment="mainnet")).opened()


def test_a_file_needs_an_account(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"venues\.paradex\.journal"):
        keeper(config(tmp_path, 'journal = "journals"\n'), None).opened()


def test_a_journal_that_was_given_stays_open(tmp_path: Path) -> None:
    given = MemoryJournal()
    made = JournalKeeper(config(tmp_path), MANIFEST, given, CounterTable(), logging.getLogger("test"))
    assert made.opened() is given
