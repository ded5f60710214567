"""Opening the venue: chains are never mixed, wrong keys reach nobody, data alone asks for no credential."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from attrs import evolve
from venuekit_paradex.config import ParadexConfig
from venuekit_paradex.manifest import MANIFEST
from venuekit_paradex.signing import python_signer
from venuekit_paradex.venue import open_venue

from venuekit.core.symbols import Symbols
from venuekit.errors import BadValue, ConfigError, SecretError
from venuekit.interfaces.manifest import OpKind
from venuekit.interfaces.signer import Secret, SecretKind, SecretRef
from venuekit.interfaces.venue import VenueContext
from venuekit.runtime.clock import ManualClock

CHAIN = "PRIVATE_SN_POTC_SEPOLIA"
KEY = SecretRef(SecretKind.ENV, "SOME_KEY")


def vector(kit):
    accounts = kit.data("signing_vectors.json")["accounts"]
    return next(one for one in accounts if one["starknet_chain_id"] == CHAIN)


def context(kit, config: ParadexConfig, *, chain: str = CHAIN, key: str | None = None, trading: bool = True):
    known = vector(kit)
    system = {
        "starknet_chain_id": chain,
        "paraclear_account_proxy_hash": known["paraclear_account_proxy_hash"],
        "paraclear_account_hash": known["paraclear_account_hash"],
    }
    port = kit.ScriptedPort({("GET", "/system/config"): system})
    made: list[dict[str, str]] = []

    async def make_signer(ref, facts):
        assert ref == KEY
        made.append(dict(facts))
        return python_signer(Secret(key or known["l2_private_key"]), facts)

    ctx = VenueContext(
        venue="PARADEX",
        clock=ManualClock(),
        ports={"rest": port, "rpc": port},
        symbols=Symbols(),
        config=config,
        counters=kit.Tally(),
        log=kit.LOG,
        trading=trading,
        environment=MANIFEST.environments["testnet"],
        make_signer=make_signer if trading else None,
    )
    return ctx, port, made


def test_the_account_of_the_key_itself(kit):
    ctx, _, made = context(kit, ParadexConfig(key=KEY))
    parts = asyncio.run(open_venue(ctx))
    assert parts.account.account_id == vector(kit)["l2_address"]
    assert made[-1] == {"chain_id": CHAIN, "account": vector(kit)["l2_address"]}
    assert parts.account.signer.public == vector(kit)["l2_public_key"]


def test_a_configured_account_is_signed_for(kit):
    ctx, _, made = context(kit, ParadexConfig(key=KEY, account="0x00ABC"))
    parts = asyncio.run(open_venue(ctx))
    assert parts.account.account_id == "0xabc"
    assert made == [{"chain_id": CHAIN, "account": "0xabc"}]


def test_another_chain_is_refused(kit):
    ctx, _, _ = context(kit, ParadexConfig(key=KEY), chain="PRIVATE_SN_PARACLEAR_MAINNET")
    with pytest.raises(ConfigError, match="PARACLEAR_MAINNET") as caught:
        asyncio.run(open_venue(ctx))
    assert caught.value.path == "venues.paradex.environment"


@pytest.mark.parametrize("key", ["0x0", "xyz", "1" * 65, "8" + "0" * 63])
def test_a_wrong_key_is_refused_before_any_request(kit, key):
    ctx, port, _ = context(kit, ParadexConfig(key=KEY), key=key)
    with pytest.raises((SecretError, BadValue)) as caught:
        asyncio.run(open_venue(ctx))
    assert key not in str(caught.value)
    assert port.asked == []


def test_trading_without_a_key_or_with_a_wrong_account_is_refused(kit):
    ctx, port, _ = context(kit, ParadexConfig())
    with pytest.raises(ConfigError, match="key"):
        asyncio.run(open_venue(ctx))
    ctx, port, _ = context(kit, ParadexConfig(key=KEY, account="paradex-account"))
    with pytest.raises(ConfigError, match="account"):
        asyncio.run(open_venue(ctx))
    assert port.asked == []


def test_an_environment_without_its_chain_signs_nothing(kit):
    ctx, port, _ = context(kit, ParadexConfig(key=KEY))
    ctx = evolve(ctx, environment=evolve(ctx.environment, facts={}))
    with pytest.raises(ConfigError, match="chain_id"):
        asyncio.run(open_venue(ctx))
    assert port.asked == []


def test_data_alone_needs_no_credential(kit):
    ctx, port, _ = context(kit, ParadexConfig(), trading=False)
    parts = asyncio.run(open_venue(ctx))
    assert parts.account is None
    assert [asked.path for asked in port.asked] == ["/system/config"]
    url = MANIFEST.environments["testnet"].addresses["stream"]
    assert parts.public().handshake(None).url == f"{url}?sbeSchemaId=1&sbeSchemaVersion=2"


@pytest.mark.parametrize(
    ("options", "query"),
    [({"sbe_version": 0}, "?sbeSchemaId=1&sbeSchemaVersion=0"), ({"sbe": False}, "")],
)
def test_the_form_of_frames_is_a_choice(kit, options, query):
    ctx, _, _ = context(kit, ParadexConfig(key=KEY, **options))
    parts = asyncio.run(open_venue(ctx))
    address = ctx.environment.addresses["stream"]
    assert (
        parts.public().handshake(None).url == parts.account.private().handshake(None).url == address + query
    )
    # One object a connection.
    assert parts.public() is not parts.public()


@pytest.mark.parametrize("options", [{"sbe_version": 3}, {"order_route": "pigeon"}, {"recv_window_ms": 5}])
def test_options_have_bounds(options):
    with pytest.raises(ValueError):
        ParadexConfig(**options)


COMMANDS = {"submit", "cancel", "cancel_all", "modify", "onboard", "subkey_create", "subkey_revoke"}


def test_the_manifest_fits_together():
    for name, operation in MANIFEST.operations.items():
        assert set(operation.costs) <= set(MANIFEST.buckets), name
        assert operation.costs, name
        assert (operation.kind is OpKind.COMMAND) == (name in COMMANDS)
    used = {bucket for operation in MANIFEST.operations.values() for bucket in operation.costs}
    assert used == set(MANIFEST.buckets)
    for environment in MANIFEST.environments.values():
        assert {stream.address for stream in MANIFEST.streams.values()} <= set(environment.addresses)
        assert environment.facts["chain_id"]
    chains = [environment.facts["chain_id"] for environment in MANIFEST.environments.values()]
    assert len(set(chains)) == len(chains)
    assert MANIFEST.environments["mainnet"].real_money


def test_every_operation_that_is_sent_is_in_the_manifest():
    """Read from the source: an operation without an entry would raise only when it is used."""
    import re
    from pathlib import Path

    import venuekit_paradex

    folder = Path(venuekit_paradex.__file__).parent
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    named = set(re.findall(r'(?:HttpRequest|StreamRequest)\(\s*(?:op=)?"(\w+)"', source))
    named |= set(re.findall(r'_(?:rows|scan)\(\s*"(\w+)"', source)) | {"trades", "funding"}
    assert named <= set(MANIFEST.operations)
    assert set(MANIFEST.operations) - named <= {"system_time"}


def test_discovery_loads_nothing_heavy():
    code = (
        "import sys; import venuekit_paradex.plugin, venuekit_paradex.manifest, venuekit_paradex.config;"
        "heavy = {'nautilus_trader', 'msgspec', 'asyncio', 'starknet_py', 'fast_stark_crypto', 'httpx',"
        " 'websockets', 'aiohttp', 'venuekit_paradex.stark'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"
