"""Keys of a wallet against the SDK's vectors; accounts and subkeys on the simulator, to the first order."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model import OrderStatus
from venuekit_paradex import stark
from venuekit_paradex.keys import StarkKey
from venuekit_paradex.onboarding import (
    Onboarding,
    Subkeys,
    Wallet,
    ethereum_wallet,
    grind,
    sign_stark_key_message,
    stark_key_message,
)
from venuekit_paradex.sim import SIMULATOR
from venuekit_paradex.venue import address_of, read_system
from venuekit_paradex.wire.json import SystemConfig

from venuekit.errors import AuthNeeded, BadValue, ConfigError, Refused, SecretError
from venuekit.host.config import parse_config
from venuekit.host.open import OpenedVenue
from venuekit.interfaces.orders import Received, Stamp, Submit
from venuekit.interfaces.reconciliation import Query
from venuekit.interfaces.signer import Secret
from venuekit.interfaces.stream import Window
from venuekit.runtime.clock import ManualClock, RealClock

VECTORS = json.loads((Path(__file__).parents[1] / "data/signing_vectors.json").read_text())
ACCOUNTS = {account["id"]: account for account in VECTORS["accounts"]}
ETHEREUM_KEY = "0x" + "0123456789abcdef" * 4


# --- keys, against what the venue's own SDK derives


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_wallet_signs_and_derives_what_the_sdk_does(name):
    known = ACCOUNTS[name]
    chain = int(known["l1_chain_id"])
    signature, address = sign_stark_key_message(Secret(known["l1_private_key"]), chain)
    assert "0x" + signature.hex() == known["stark_key_eth_signature"]
    assert address == known["l1_address"]
    wallet = ethereum_wallet(Secret(known["l1_private_key"]), chain)
    assert int(wallet.key.reveal(), 16) == int(known["l2_private_key"], 16)
    assert wallet.key.public == known["l2_public_key"]
    system = SystemConfig(
        starknet_chain_id=known["starknet_chain_id"],
        paraclear_account_proxy_hash=known["paraclear_account_proxy_hash"],
        paraclear_account_hash=known["paraclear_account_hash"],
    )
    assert address_of(wallet.key.public, system) == known["l2_address"]


@pytest.mark.parametrize("name", ["prod-0", "testnet-mock-0"])
def test_another_library_finds_the_same_address(name):
    from starknet_py.hash.address import compute_address
    from starknet_py.hash.selector import get_selector_from_name

    known = ACCOUNTS[name]
    public = int(known["l2_public_key"], 16)
    calldata = [int(known["paraclear_account_hash"], 16), get_selector_from_name("initialize"), 2, public, 0]
    computed = compute_address(
        class_hash=int(known["paraclear_account_proxy_hash"], 16),
        constructor_calldata=calldata,
        salt=public,
        deployer_address=0,
    )
    assert hex(computed) == known["l2_address"]


def test_the_message_is_the_published_type(monkeypatch):
    message = stark_key_message(1)
    assert message["types"] == VECTORS["types"]["stark_key"]


def test_a_key_whose_first_byte_is_zero_works():
    """The SDK cannot use such keys; the wallet's own signature does not care."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    key = "0x00" + "ab" * 31
    signature, address = sign_stark_key_message(Secret(key), 1)
    assert address == Account.from_key(key).address
    recovered = Account.recover_message(
        encode_typed_data(full_message=stark_key_message(1)), signature=signature
    )
    assert recovered == address


@pytest.mark.parametrize(
    "text", ["", "0x", "ab", "zz" * 32, "0x" + "0" * 64, "f" * 64, "12 " * 22, "0x" + "a" * 65]
)
def test_what_is_no_ethereum_key_is_told_without_showing_it(text):
    with pytest.raises(SecretError) as caught:
        ethereum_wallet(Secret(text), 1)
    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "eth_account", None)
    with pytest.raises(ConfigError) as caught:
        ethereum_wallet(Secret(ETHEREUM_KEY), 1)
    assert "venuekit-paradex[onboarding]" in caught.value.hint


def test_grinding_matches_another_library():
    from starknet_py.hash.utils import private_to_stark_key

    for account in ACCOUNTS.values():
        seed = int(account["stark_key_eth_signature"][2:66], 16)
        assert hex(private_to_stark_key(grind(seed))) == account["l2_public_key"]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 300)))
def test_grinding_always_ends_in_a_key(seed):
    assert 0 < grind(seed) < stark.CURVE_ORDER


def test_a_hash_above_the_limit_is_drawn_again(monkeypatch):
    import venuekit_paradex.onboarding as module

    drawn = []

    class Fake:
        def __init__(self, data: bytes) -> None:
            drawn.append(data)

        def digest(self) -> bytes:
            return b"\xff" * 32 if len(drawn) == 1 else (5).to_bytes(32, "big")

    monkeypatch.setattr(module, "sha256", Fake)
    # 2**256 - 1 is above the limit: the second draw, with index 1, counts.
    assert grind(0x0102) == 5
    assert drawn == [b"\x01\x02\x00", b"\x01\x02\x01"]


# --- the account, on the simulator


def wallet_of(seed: int = 1) -> Wallet:
    return ethereum_wallet(Secret("0x" + f"{seed:02x}" * 32), 11155111)


def config(info, **fields: str) -> str:
    rest = info.addresses["rest"]
    stream = info.addresses["stream"]
    own = "\n".join(f'{name} = "{value}"' for name, value in fields.items())
    return (
        f'[venues.paradex]\nenvironment = "simulator"\nexecution = {"true" if "key" in fields else "false"}\n'
        f'order_route = "rest"\n{own}\n[venues.paradex.addresses]\nrest = "{rest}"\nstream = "{stream}"\n'
    )


def run(body: Callable[..., Coroutine[object, object, None]]) -> None:
    """`body(open)` with a fresh simulator; `open(**fields)` opens the client's parts on it."""

    async def main() -> None:
        simulator = SIMULATOR(clock=RealClock(), seed=3, port=0, options={"liquidity": "false"})
        info = await simulator.start()
        opened: list[OpenedVenue] = []

        async def open_client(**fields: str) -> OpenedVenue:
            venue = OpenedVenue(parse_config(config(info, **fields)).venues["paradex"], clock=RealClock())
            await venue.open()
            opened.append(venue)
            return venue

        try:
            async with asyncio.timeout(40):
                await body(open_client, simulator)
        finally:
            for venue in opened:
                await venue.close()
            await simulator.stop()

    asyncio.run(main())


async def place(venue: OpenedVenue, order) -> object:
    """The outcome of one order over REST, signed by the account's signer."""
    codec, clock = venue.parts.account.orders, venue.clock
    (draft,) = codec.draft(Submit((order,)))
    stamp = Stamp(clock.wall_ns())
    signed = venue.parts.account.signer.sign(codec.to_sign(draft, stamp))
    prepared = codec.encode(draft, stamp, signed)
    reply = await venue.context().ports["rest"].send(prepared.request)
    return codec.verdict(prepared, reply).of(order.client_order_id.value)


async def open_ids(venue: OpenedVenue) -> list[str]:
    page = await venue.parts.account.reads.page(Query.OPEN, Window(), None)
    assert all(row.status is not OrderStatus.REJECTED for row in page.rows)
    return [row.ids.client_order_id for row in page.rows]


def test_from_a_wallet_to_an_order(monkeypatch, kit):
    wallet = wallet_of()

    async def body(open_client, simulator) -> None:
        public = await open_client()
        port = public.context().ports["rest"]
        system = await read_system(port, "PRIVATE_SN_VENUEKIT_SIM")
        door = Onboarding(port=port, system=system)
        assert not (await door.look_up(wallet.key.public)).exists
        monkeypatch.setenv("MAIN_KEY", wallet.key.reveal())
        early = await open_client(key="env:MAIN_KEY")
        with pytest.raises(AuthNeeded, match="NOT_ONBOARDED"):
            await early.parts.account.reads.page(Query.BALANCES, Window(), None)
        account = await door.open(wallet)
        assert await door.open(wallet) == account  # a second time changes nothing
        found = await door.look_up(wallet.key.public)
        assert (found.exists, found.address) == (True, account)
        person = simulator.service.register.by_account(account)
        assert (hex(person.public_key), person.ethereum) == (wallet.key.public, wallet.address)
        venue = await open_client(key="env:MAIN_KEY")
        assert venue.parts.account.account_id == account
        assert isinstance(await place(venue, kit.limit_order(price="80000.0", client_id="first")), Received)
        assert await open_ids(venue) == ["first"]

    run(body)


def test_a_subkey_trades_until_it_is_revoked(monkeypatch, kit):
    wallet, bot = wallet_of(2), StarkKey(grind(7))

    async def body(open_client, simulator) -> None:
        public = await open_client()
        port = public.context().ports["rest"]
        account = await Onboarding(port=port, system=await read_system(port, "")).open(wallet)
        monkeypatch.setenv("MAIN_KEY", wallet.key.reveal())
        monkeypatch.setenv("BOT_KEY", bot.reveal())
        main = await open_client(key="env:MAIN_KEY")
        subkeys = Subkeys(port=main.context().ports["rest"], account=account, clock=main.clock)
        assert await subkeys.list(with_revoked=True) == []
        await subkeys.create(name="bot", public=bot.public, main=wallet.key, cidrs=("127.0.0.0/8",))
        (row,) = await subkeys.list(with_revoked=False)
        assert (row.name, row.public_key, row.state) == ("bot", bot.public, "active")
        assert row.allowed_cidrs == ["127.0.0.0/8"]
        with pytest.raises(Refused) as caught:
            await subkeys.create(name="again", public=bot.public, main=wallet.key)
        assert caught.value.code == "NOT_UNIQUE"
        trader = await open_client(key="env:BOT_KEY", account=account)
        assert isinstance(await place(trader, kit.limit_order(price="80000.0", client_id="by-bot")), Received)
        assert await open_ids(main) == ["by-bot"]
        # It manages no keys, not even its own.
        theirs = Subkeys(port=trader.context().ports["rest"], account=account, clock=main.clock)
        with pytest.raises(Refused, match="REQUEST_NOT_ALLOWED"):
            await theirs.revoke(bot.public)
        await subkeys.revoke(bot.public)
        assert await subkeys.list(with_revoked=False) == []
        assert [row.public_key for row in await subkeys.list(with_revoked=True)] == [bot.public]
        with pytest.raises(AuthNeeded):
            await open_ids(trader)

    run(body)


def test_a_subkey_that_another_key_signed_for_is_refused(monkeypatch):
    wallet, bot = wallet_of(3), StarkKey(grind(8))

    async def body(open_client, simulator) -> None:
        public = await open_client()
        port = public.context().ports["rest"]
        account = await Onboarding(port=port, system=await read_system(port, "")).open(wallet)
        monkeypatch.setenv("MAIN_KEY", wallet.key.reveal())
        main = await open_client(key="env:MAIN_KEY")
        subkeys = Subkeys(port=main.context().ports["rest"], account=account, clock=main.clock)
        with pytest.raises(Refused, match="INVALID_STARKNET_SIGNATURE"):
            await subkeys.create(name="bot", public=bot.public, main=bot)

    run(body)


def test_the_registration_is_the_documented_body_and_signs_the_documented_hash():
    """Fields and their types as the venue's example; the hash with starknet-py's own functions."""
    from starknet_py.hash.utils import compute_hash_on_elements, verify_message_signature

    example = json.loads(
        (Path(__file__).parents[1] / "data/rest/post_account_keys_subkeys.request.json").read_text()
    )
    wallet, bot, account = wallet_of(4), StarkKey(grind(9)), 0x1234
    clock = ManualClock(wall_start_ns=1_706_400_000 * 10**9)
    subkeys = Subkeys(port=None, account=hex(account), clock=clock)
    body = subkeys.registration(name="bot", public=bot.public, main=wallet.key, cidrs=("203.0.113.0/24",))
    assert set(body) <= set(example)
    assert {name: type(body[name]) for name in body} == {name: type(example[name]) for name in body}
    assert (body["signature_timestamp"], body["signature_expiry"]) == (1_706_400_000, 1_706_400_300)
    digest = compute_hash_on_elements([account, int(bot.public, 16), 1_706_400_000, 1_706_400_300])
    signature = [int(part, 16) for part in body["signature"]]
    assert verify_message_signature(digest, signature, int(wallet.key.public, 16))


def test_an_address_that_the_venue_derives_otherwise_stops_everything(kit):
    wallet = wallet_of(5)
    system = SystemConfig("X", paraclear_account_proxy_hash="0x1", paraclear_account_hash="0x2")
    answers = {("GET", "/onboarding"): {"address": "0x5", "exists": True}}
    door = Onboarding(port=kit.ScriptedPort(answers), system=system)
    with pytest.raises(BadValue, match="derives"):
        asyncio.run(door.look_up(wallet.key.public))


def test_another_chain_is_refused(kit):
    port = kit.ScriptedPort({("GET", "/system/config"): {"starknet_chain_id": "OTHER"}})
    with pytest.raises(ConfigError, match="OTHER"):
        asyncio.run(read_system(port, "PRIVATE_SN_VENUEKIT_SIM"))
