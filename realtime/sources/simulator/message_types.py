"""The contract's messages (kafka.md) as structs for JSON encoding; decimals are strings with eight places.

`gc=False`: the structs hold no reference cycles, and a load generator creates tens of thousands a second.
"""

from decimal import Decimal

import msgspec

from realtime.sources.simulator.positions import EIGHT_PLACES


class RawFill(msgspec.Struct, gc=False):
    """The venue's fill object in `raw_data`."""

    coin: str
    px: str
    sz: str
    side: str
    time: int
    startPosition: str  # noqa: N815 (the venue's name)
    dir: str
    closedPnl: str  # noqa: N815
    hash: str
    oid: int
    crossed: bool
    fee: str
    tid: int
    liquidation: "RawLiquidation | msgspec.UnsetType" = msgspec.UNSET
    feeToken: str = "USDC"  # noqa: N815
    simulated: bool = True


class RawLiquidation(msgspec.Struct, gc=False):
    """The venue's `liquidation` object in a fill."""

    liquidatedUser: str  # noqa: N815
    markPx: str  # noqa: N815
    method: str


class RawTransfer(msgspec.Struct, gc=False):
    """A deposit or withdrawal in `raw_data`."""

    type: str
    usdc: str
    simulated: bool = True


class SimTransaction(msgspec.Struct, kw_only=True, gc=False):
    tx_hash: str
    block_number: int
    block_timestamp: str
    user_address: str
    coin: str
    side: str
    size: str
    price: str
    leverage: str | None = None
    margin: str | None = None
    fee: str
    tx_type: str
    liquidator_address: str | msgspec.UnsetType | None = msgspec.UNSET
    liquidation_value_usd: str | msgspec.UnsetType = msgspec.UNSET
    raw_data: RawFill | RawTransfer


class SimLiquidationData(msgspec.Struct, kw_only=True, gc=False):
    tx_hash: str
    block_number: int
    block_timestamp: str
    user_address: str
    coin: str
    side: str
    liquidated_size: str
    liquidation_price: str
    liquidation_value_usd: str
    leverage: str
    margin: str
    liquidator_address: str | None
    raw_data: RawFill


class SimRatio(msgspec.Struct, gc=False):
    """The two ratios are the only decimals encoded as JSON numbers."""

    long_ratio: Decimal
    short_ratio: Decimal
    long_position_value: str
    short_position_value: str
    total_position_value: str
    long_accounts: int
    short_accounts: int


class SimPriceLevel(msgspec.Struct, gc=False):
    price: str
    long_liquidation_value: str
    short_liquidation_value: str
    long_liquidation_count: int
    short_liquidation_count: int


class SimLiquidationMap(msgspec.Struct, gc=False):
    price_levels: list[SimPriceLevel]


class SimPositionEntry(msgspec.Struct, gc=False):
    user_address: str
    side: str
    size: str
    entry_price: str
    mark_price: str
    leverage: str
    margin: str
    unrealized_pnl: str


class SimPositionSummary(msgspec.Struct, gc=False):
    positions: list[SimPositionEntry]


class ComputedMessage(msgspec.Struct, gc=False):
    data_type: str
    coin: str
    timestamp: str
    data: SimLiquidationData | SimRatio | SimLiquidationMap | SimPositionSummary


encode = msgspec.json.Encoder(decimal_format="number").encode


def decimal_text(amount: Decimal) -> str:
    return _fixed_point(amount.quantize(EIGHT_PLACES))


def leverage_text(times: int) -> str:
    return f"{times}.00"


def venue_decimal(amount: Decimal) -> str:
    """The venue's number format: no trailing zeros, at least one decimal."""
    text = _fixed_point(amount)
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text[-1] == "." else text


def _fixed_point(number: Decimal) -> str:
    # str() is three times as fast as format(), but writes the smallest numbers with an exponent.
    text = str(number)
    return f"{number:f}" if "E" in text else text
