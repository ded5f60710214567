"""Opening Paradex: what the venue says of itself is checked before anything is signed or traded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from venuekit.errors import BadValue, ConfigError
from venuekit.interfaces.request import HttpRequest
from venuekit.interfaces.venue import AccountParts, Parts, VenueContext
from venuekit_paradex.auth import ParadexAuthenticator
from venuekit_paradex.config import ParadexConfig
from venuekit_paradex.history import ParadexHistory
from venuekit_paradex.instruments import ParadexInstruments
from venuekit_paradex.keys import account_address, parse_address
from venuekit_paradex.manifest import MANIFEST
from venuekit_paradex.orders import ParadexOrders
from venuekit_paradex.reconciliation import rest_reconciliation
from venuekit_paradex.stream import ParadexStream
from venuekit_paradex.time import ParadexTime
from venuekit_paradex.wire.json import SystemConfig
from venuekit_paradex.wire.replies import read, row_as

if TYPE_CHECKING:
    from venuekit.interfaces.request import RequestPort
    from venuekit.interfaces.signer import Signer


async def open_venue(ctx: VenueContext) -> Parts:
    """The parts of Paradex; raises ConfigError when the venue is another chain than the environment says.

    A key that cannot be used is refused before anything is asked of the venue.
    """
    config = ctx.config
    if not isinstance(config, ParadexConfig):
        raise ConfigError(f"not a Paradex configuration: {type(config).__name__}")
    expected = ctx.environment.facts.get("chain_id", "")
    signer = await _first_signer(ctx, config, expected) if ctx.trading else None
    system = await read_system(ctx.ports["rest"], expected)
    stream = partial(
        ParadexStream,
        url=ctx.environment.addresses[MANIFEST.streams["public"].address],
        symbols=ctx.symbols,
        sbe_version=config.sbe_version if config.sbe else None,
    )
    account: AccountParts | None = None
    if signer is not None:
        account = await _account(ctx, config, system, signer, partial(stream, private=True))
    return Parts(
        instruments=ParadexInstruments(
            port=ctx.ports["rest"],
            symbols=ctx.symbols,
            venue=ctx.venue,
            clock=ctx.clock,
            counters=ctx.counters,
            log=ctx.log,
        ),
        public=partial(stream, private=False),
        history=ParadexHistory(port=ctx.ports["rest"], symbols=ctx.symbols, clock=ctx.clock),
        account=account,
        time=ParadexTime(ctx.ports["rest"]),
    )


async def read_system(port: RequestPort, chain_id: str) -> SystemConfig:
    """The venue's system config; raises ConfigError when it is another chain than `chain_id`."""
    system = row_as(await read(port, HttpRequest("system_config", "GET", "/system/config")), SystemConfig)
    if chain_id and system.starknet_chain_id != chain_id:
        raise ConfigError(
            f"the venue is chain {system.starknet_chain_id[:60]!r}, the environment expects {chain_id!r}",
            path="venues.paradex.environment",
            hint="keys, addresses and environment belong together: choose the environment of these addresses",
        )
    return system


def address_of(public: str, system: SystemConfig) -> str:
    """The address of the account that a main key owns on this chain."""
    return account_address(
        public,
        proxy_hash=system.paraclear_account_proxy_hash,
        account_hash=system.paraclear_account_hash,
    )


async def _account(
    ctx: VenueContext,
    config: ParadexConfig,
    system: SystemConfig,
    signer: Signer,
    private: partial[ParadexStream],
) -> AccountParts:
    address = _configured_address(config)
    if address is None:
        address = address_of(signer.public, system)
        signer = await _signer(ctx, config, system.starknet_chain_id, address)
    return AccountParts(
        account_id=address,
        private=private,
        orders=ParadexOrders(
            symbols=ctx.symbols, route=config.order_route, recv_window_ms=config.recv_window_ms
        ),
        reads=rest_reconciliation(ctx),
        auth=ParadexAuthenticator(
            port=ctx.ports["rest"], signer=signer, account=address, clock=ctx.clock, counters=ctx.counters
        ),
        signer=signer,
    )


_NO_ACCOUNT_YET = "0x1"
"""Stands in a signer that is asked for its public key only."""


async def _first_signer(ctx: VenueContext, config: ParadexConfig, chain_id: str) -> Signer:
    if not chain_id:
        raise ConfigError(
            "the environment has no fact `chain_id`",
            path="venues.paradex.environment",
            hint="an order is signed for one chain: name it, or use a known environment",
        )
    return await _signer(ctx, config, chain_id, _configured_address(config) or _NO_ACCOUNT_YET)


def _configured_address(config: ParadexConfig) -> str | None:
    if not config.account:
        return None
    try:
        return hex(parse_address(config.account))
    except BadValue as error:
        raise ConfigError(error.message, path="venues.paradex.account", hint=error.hint) from error


async def _signer(ctx: VenueContext, config: ParadexConfig, chain_id: str, account: str) -> Signer:
    if ctx.make_signer is None or config.key is None:
        raise ConfigError(
            "trading needs a key", path="venues.paradex.key", hint='for example key = "env:PARADEX_KEY"'
        )
    return await ctx.make_signer(config.key, {"chain_id": chain_id, "account": account})
