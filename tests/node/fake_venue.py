"""Fake services behind the real bridge: they keep what they were asked and say what a test tells them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import bare_node as bare
from attrs import define, field, frozen
from nautilus_trader.config import LiveNodeConfig
from nautilus_trader.live import LiveNode
from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.model import AccountBalance, AccountId, Money

from venuekit.core.symbols import Symbols
from venuekit.interfaces.stream import DataFeature as _DataFeature  # noqa: F401
