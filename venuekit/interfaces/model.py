"""Names for the unions of Nautilus classes that have no common base; for annotations only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nautilus_trader.model import (
        CryptoFuture,
        CryptoOption,
        CryptoPerpetual,
        CurrencyPair,
        LimitIfTouchedOrder,
        LimitOrder,
        MarketIfTouchedOrder,
        MarketOrder,
        StopLimitOrder,
        StopMarketOrder,
    )

# A `type` statement is evaluated lazily: importing these names does not import Nautilus.
type Order = (
    MarketOrder | LimitOrder | StopMarketOrder | StopLimitOrder | MarketIfTouchedOrder | LimitIfTouchedOrder
)
type Instrument = CryptoPerpetual | CurrencyPair | CryptoFuture | CryptoOption
