"""`venuekit paradex`: open an account, manage its keys, read. Keys go in and out by reference only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from venuekit.errors import ConfigError
from venuekit.interfaces.commands import DESK_KEY, CommandDesk
from venuekit.interfaces.request import HttpRequest
from venuekit_paradex.config import ParadexConfig
from venuekit_paradex.keys import StarkKey
from venuekit_paradex.manifest import ENVIRONMENTS
from venuekit_paradex.onboarding import (
    Onboarding,
    Subkeys,
    Wallet,
    ethereum_wallet,
    grind,
)
from venuekit_paradex.plugin import KEY
from venuekit_paradex.readings import parse_answer, shown, template_of
from venuekit_paradex.venue import address_of, read_system
from venuekit_paradex.wire.replies import read

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from venuekit.interfaces.venue import VenueContext
    from venuekit_paradex.onboarding import SubkeyRow
    from venuekit_paradex.wire.json import SystemConfig

_ETHEREUM_HELP: Final = "Reference to the wallet's private key, e.g. env:ETH_KEY or file:PATH."
_SAVE_HELP: Final = "Write the Stark key into this new file (mode 600); it is never printed."
_KEY_HELP: Final = "Reference to the account's MAIN Stark key."


def _remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if DESK_KEY in ctx.meta:
        _desk().json = value


_json = click.option(
    "--json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_remember_json,
    help="Print one JSON object a line.",
)
_environment = click.option(
    "--environment",
    "-e",
    default="simulator",
    show_default=True,
    type=click.Choice(sorted(ENVIRONMENTS)),
    help="Where.",
)
_address = click.option("--address", default="", help="Another base address of the REST API.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_ethereum = click.option("--ethereum-key", required=True, metavar="REF", help=_ETHEREUM_HELP)
_main_key = click.option("--key", required=True, metavar="REF", help=_KEY_HELP)
_save_key = click.option("--save", type=click.Path(path_type=Path), help=_SAVE_HELP)


def _desk() -> CommandDesk:
    return cast("CommandDesk", click.get_current_context().meta[DESK_KEY])


def _tell(record: Mapping[str, object], text: str) -> None:
    if _desk().json:
        _desk().emit(record)
    else:
        _desk().say(text)


def _agreed(question: str, *, yes: bool, environment: str) -> None:
    """Return when the user agrees; where nobody can answer, only `--yes` agrees."""
    where = f"{environment}, with real money" if ENVIRONMENTS[environment].real_money else environment
    if yes:
        return
    if _desk().json:
        raise ConfigError("this must be agreed to", path="--yes", hint=f"pass --yes to {question}.")
    click.confirm(f"{question[0].upper()}{question[1:]} ({where})?", abort=True)


def _venue(
    environment: str, address: str, *, key: str = "", account: str = ""
) -> AbstractAsyncContextManager[VenueContext]:
    fields = {name: value for name, value in (("key", key), ("account", account)) if value}
    if address:
        fields["addresses.rest"] = address
    return _desk().venue(KEY, environment=environment, fields=fields, trading=bool(key))


@click.group()
def group() -> None:
    """Open a Paradex account, manage its keys, read what the venue says."""


@group.command()
@_ethereum
@_save_key
@_environment
@_address
@_yes
@_json
def onboard(ethereum_key: str, save: Path | None, environment: str, address: str, yes: bool) -> None:
    """Open the account of a wallet. A second time changes nothing; one wallet has one account."""
    asyncio.run(_onboard(ethereum_key, save, environment, address, yes))


async def _onboard(reference: str, save: Path | None, environment: str, address: str, yes: bool) -> None:
    async with _venue(environment, address) as ctx:
        system = await _system(ctx)
        wallet = _wallet(reference, system)
        door = Onboarding(port=ctx.ports["rest"], system=system)
        known = (await door.look_up(wallet.key.public)).exists
        account = address_of(wallet.key.public, system)
        if not known:
            _agreed(f"open the account {account} for {wallet.address}", yes=yes, environment=environment)
            await door.open(wallet)
        _save(wallet.key, save)
    record = {
        "event": "onboarded",
        "environment": environment,
        "account": account,
        "public_key": wallet.key.public,
        "ethereum_account": wallet.address,
        "existed": known,
        "key_file": None if save is None else str(save),
    }
    did = "is open already" if known else "is open now"
    _tell(record, f"The account {account} of {wallet.address} {did} ({environment}).{_next(save)}")


def _next(save: Path | None) -> str:
    return "" if save is None else f'\nIts Stark key is in {save}: set key = "file:{save}".'


async def _system(ctx: VenueContext) -> SystemConfig:
    return await read_system(ctx.ports["rest"], ctx.environment.facts.get("chain_id", ""))


def _wallet(reference: str, system: SystemConfig) -> Wallet:
    if not system.l1_chain_id.isdigit():
        raise ConfigError("the venue does not name its Ethereum chain", hint="a Stark key depends on it")
    secret = _desk().secret(_desk().reference(reference))
    return ethereum_wallet(secret, int(system.l1_chain_id))


def _save(key: StarkKey, save: Path | None) -> None:
    if save is not None:
        _desk().keep(save, f"0x{key.reveal()}")


@group.group()
def keys() -> None:
    """Derive the main key of a wallet; list, create and revoke subkeys."""


@keys.command()
@_ethereum
@_save_key
@_environment
@_address
@_json
def derive(ethereum_key: str, save: Path | None, environment: str, address: str) -> None:
    """Show the public key and the account that follow from a wallet's key. Nothing is sent."""
    asyncio.run(_derive(ethereum_key, save, environment, address))


async def _derive(reference: str, save: Path | None, environment: str, address: str) -> None:
    async with _venue(environment, address) as ctx:
        system = await _system(ctx)
    wallet = _wallet(reference, system)
    account = address_of(wallet.key.public, system)
    _save(wallet.key, save)
    record = {
        "event": "derived",
        "environment": environment,
        "account": account,
        "public_key": wallet.key.public,
        "ethereum_account": wallet.address,
        "key_file": None if save is None else str(save),
    }
    lines = f"wallet      {wallet.address}\npublic key  {wallet.key.public}\naccount     {account}"
    _tell(record, lines + _next(save))


def _subkeys(
    act: Callable[[Subkeys, str], Coroutine[None, None, None]], key: str, environment: str, address: str
) -> None:
    """Run `act` with the subkeys and the account of a main key."""

    async def run() -> None:
        async with _venue(environment, address, key=key) as ctx:
            config = cast("ParadexConfig", ctx.config)
            assert config.key is not None
            account = address_of(StarkKey.parse(_desk().secret(config.key)).public, await _system(ctx))
            await act(Subkeys(port=ctx.ports["rest"], account=account, clock=ctx.clock), account)

    asyncio.run(run())


@keys.command(name="list")
@_main_key
@click.option("--with-revoked", is_flag=True, help="Revoked ones too.")
@_environment
@_address
@_json
def list_keys(key: str, with_revoked: bool, environment: str, address: str) -> None:
    """List the account's subkeys."""

    async def act(subkeys: Subkeys, account: str) -> None:
        rows = await subkeys.list(with_revoked=with_revoked)
        if _desk().json:
            for row in rows:
                _desk().emit({"event": "subkey", "account": account, **_shown(row)})
            return
        if rows:
            table = [[row.name, row.public_key, row.state or "-"] for row in rows]
            _desk().table(["NAME", "PUBLIC KEY", "STATE"], table)
        _desk().say(f"{len(rows)} subkeys of {account} on {environment}.")

    _subkeys(act, key, environment, address)


def _shown(row: SubkeyRow) -> dict[str, object]:
    return {
        "name": row.name,
        "public_key": row.public_key,
        "state": row.state,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
        "allowed_cidrs": list(row.allowed_cidrs or ()),
    }


@keys.command()
@_main_key
@click.option("--name", required=True, help="What the venue shows for it.")
@click.option("--subkey", metavar="REF", help="Register this Stark key instead of a new one.")
@_save_key
@click.option("--allow", "cidrs", multiple=True, metavar="CIDR", help="Only from these networks.")
@_environment
@_address
@_yes
@_json
def create(
    key: str,
    name: str,
    subkey: str | None,
    save: Path | None,
    cidrs: tuple[str, ...],
    environment: str,
    address: str,
    yes: bool,
) -> None:
    """Register a subkey, new or given: it can trade and read, and cannot withdraw."""
    if (save is None) == (subkey is None):
        raise ConfigError(
            "one of them is needed", path="--save or --subkey", hint="save the new key, or name one."
        )
    chosen = _chosen(subkey)

    async def act(subkeys: Subkeys, account: str) -> None:
        _agreed(f"register the subkey {name!r} for {account}", yes=yes, environment=environment)
        # On disk before it is known to the venue: a key that nobody holds would be worse than a spare file.
        _save(chosen, save)
        main = StarkKey.parse(_desk().secret(_desk().reference(key)))
        await subkeys.create(name=name, public=chosen.public, main=main, cidrs=cidrs)
        record = {
            "event": "subkey_created",
            "environment": environment,
            "account": account,
            "name": name,
            "public_key": chosen.public,
            "key_file": None if save is None else str(save),
        }
        _tell(record, f"{chosen.public} may trade for {account} now.{_use(save, account)}")

    _subkeys(act, key, environment, address)


def _chosen(subkey: str | None) -> StarkKey:
    if subkey is not None:
        return StarkKey.parse(_desk().secret(_desk().reference(subkey)))
    return StarkKey(grind(int.from_bytes(_desk().entropy(32), "big")))


def _use(save: Path | None, account: str) -> str:
    return "" if save is None else f'\nSet key = "file:{save}" and account = "{account}".'


@keys.command()
@_main_key
@click.argument("public_key")
@_environment
@_address
@_yes
@_json
def revoke(key: str, public_key: str, environment: str, address: str, yes: bool) -> None:
    """Revoke the subkey with this PUBLIC_KEY: what uses it stops trading at once."""

    async def act(subkeys: Subkeys, account: str) -> None:
        _agreed(f"revoke the subkey {public_key} of {account}", yes=yes, environment=environment)
        await subkeys.revoke(public_key)
        record = {
            "event": "subkey_revoked",
            "environment": environment,
            "account": account,
            "public_key": public_key,
        }
        _tell(record, f"{public_key} is revoked.")

    _subkeys(act, key, environment, address)


@group.command(name="read")
@click.argument("path")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A query parameter.")
@click.option("--key", default="", metavar="REF", help="Reference to a Stark key, for what needs a login.")
@click.option("--account", default="", help="The main account's address, with a subkey.")
@_environment
@_address
@_json
def read_path(
    path: str, params: tuple[str, ...], key: str, account: str, environment: str, address: str
) -> None:
    """Read any documented PATH, such as /transfers or /markets/summary, every field of it."""
    asyncio.run(_read(path, params, key, account, environment, address))


async def _read(
    path: str, params: tuple[str, ...], key: str, account: str, environment: str, address: str
) -> None:
    template_of("GET", path)
    query = [(name, value) for name, _, value in (param.partition("=") for param in params)]
    async with _venue(environment, address, key=key, account=account) as ctx:
        if key:
            request = HttpRequest("read_private", "GET", path, query=query, private=True)
        else:
            request = HttpRequest("read_public", "GET", path, query=query)
        found = parse_answer("GET", path, await read(ctx.ports["rest"], request))
    for row in found.rows:
        _desk().emit({"event": "row", **cast("dict[str, object]", shown(row))})
    if found.next:
        _desk().emit({"event": "more", "cursor": found.next})
