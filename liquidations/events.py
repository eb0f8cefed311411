"""Liquidations and liquidation maps as they arrive (kafka.md) and as they go out (L and M of rest.md)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hyperwatch.formats import AMOUNT, Side, product, utc
from realtime.streams import Fact, Row
from realtime.structs.input_types import (
    Address,
    Amount,
    BlockNumber,
    Coin,
    Count,
    Hash,
    Leverage,
    SignedAmount,
    decoder,
    known_block,
    object_or_none,
    raw_data,
)
from realtime.structs.output_types import (
    AddressText,
    AmountText,
    CoinText,
    HashText,
    JsonOf,
    LeverageText,
    SignedText,
    Time,
)


class LiquidationRow(Row, frozen=True, kw_only=True):
    """A position that was closed by force. A liquidated LONG is a forced sale."""

    hidden: ClassVar[tuple[str, ...]] = ("raw_data",)

    tx_hash: HashText
    block_number: int | None
    block_timestamp: Time
    user_address: AddressText
    coin: CoinText
    side: Side
    liquidated_size: AmountText
    liquidation_price: AmountText
    liquidation_value_usd: AmountText
    leverage: LeverageText | None
    margin: SignedText | None
    liquidator_address: AddressText | None
    raw_data: Raw | UnsetType | None = UNSET


class PriceLevel(msgspec.Struct, frozen=True, kw_only=True):
    price: Amount
    long_liquidation_value: Amount
    short_liquidation_value: Amount
    long_liquidation_count: Count
    short_liquidation_count: Count


class LiquidationMapRow(Row, frozen=True, kw_only=True):
    """What would be liquidated at which price of a coin; the levels are ascending by price."""

    coin: CoinText
    timestamp: Time
    price_levels: Annotated[Raw, JsonOf(list[PriceLevel])]


class _Liquidated(msgspec.Struct, kw_only=True):
    """L of rest.md without `seq`; `size` and `price` are accepted for the longer names."""

    tx_hash: Hash
    block_timestamp: datetime
    user_address: Address
    coin: Coin
    side: Side
    liquidated_size: Amount | UnsetType = UNSET
    size: Amount | UnsetType = UNSET
    liquidation_price: Amount | UnsetType = UNSET
    price: Amount | UnsetType = UNSET
    block_number: BlockNumber | None = None
    liquidation_value_usd: Amount | None = None
    leverage: Leverage | None = None
    margin: SignedAmount | None = None
    liquidator_address: Address | None = None
    raw_data: Raw = Raw(b"null")


class _LiquidationMessage(msgspec.Struct):
    coin: Coin
    timestamp: datetime
    data: _Liquidated


class _Levels(msgspec.Struct):
    price_levels: list[PriceLevel]


class _MapMessage(msgspec.Struct):
    coin: Coin
    timestamp: datetime
    data: _Levels


class _Kind(msgspec.Struct):
    tx_type: str = ""


_read_message = decoder(_LiquidationMessage)
_read_kind = decoder(_Kind)
_read_transaction = decoder(_Liquidated)
_read_levels = decoder(list[PriceLevel])
_read_map = decoder(_MapMessage)


def from_computed(message: bytes) -> Sequence[LiquidationRow]:
    """The liquidation of a LIQUIDATION message."""
    read = _read_message(message)
    if read.coin != read.data.coin:
        raise ValueError(f"coin is {read.coin} outside and {read.data.coin} inside")
    return [_liquidation(read.data)]


def from_transaction(message: bytes) -> Sequence[LiquidationRow]:
    """The liquidation that a transaction of type LIQUIDATION tells of; of any other, none."""
    if _read_kind(message).tx_type != "LIQUIDATION":
        return []
    return [_liquidation(_read_transaction(message))]


def _liquidation(data: _Liquidated) -> LiquidationRow:
    size = _either(data.liquidated_size, data.size, "size")
    price = _either(data.liquidation_price, data.price, "price")
    return LiquidationRow(
        tx_hash=data.tx_hash,
        block_number=known_block(data.block_number),
        block_timestamp=utc(data.block_timestamp),
        user_address=data.user_address,
        coin=data.coin,
        side=data.side,
        liquidated_size=size,
        liquidation_price=price,
        liquidation_value_usd=data.liquidation_value_usd or AMOUNT.rounded(product(size, price)),
        leverage=data.leverage,
        margin=data.margin,
        liquidator_address=data.liquidator_address,
        raw_data=object_or_none(data.raw_data),
    )


def _either(long_name: str | UnsetType, short_name: str | UnsetType, name: str) -> str:
    value = short_name if long_name is UNSET else long_name
    if value is UNSET:
        raise ValueError(f"Object missing required field `{name}`")
    return value


def identity(liquidation: LiquidationRow) -> tuple[object, ...]:
    """What makes two messages the same liquidation (kafka.md)."""
    row = liquidation
    tid = raw_data(row.raw_data).tid
    who = (row.block_timestamp, row.coin, row.user_address, row.side)
    if tid is not None:
        return ("tid", *who, tid)
    return (*who, row.tx_hash, row.liquidated_size, row.liquidation_price, row.liquidator_address)


def fact(row: LiquidationRow) -> Fact:
    return Fact(
        time=row.block_timestamp,
        coin=row.coin,
        address=row.user_address,
        side=row.side,
        value=row.liquidation_value_usd,
        size=row.liquidated_size,
        price=row.liquidation_price,
        hash=row.tx_hash,
    )


def from_map(message: bytes) -> Sequence[LiquidationMapRow]:
    """The map of a LIQUIDATION_MAP message, its levels ascending by price."""
    read = _read_map(message)
    levels = sorted(read.data.price_levels, key=lambda level: Decimal(level.price))
    return [
        LiquidationMapRow(coin=read.coin, timestamp=utc(read.timestamp), price_levels=Raw(msgspec.json.encode(levels)))
    ]


def within(row: LiquidationMapRow, price_range: tuple[Decimal, Decimal] | None) -> LiquidationMapRow:
    """The map with the levels from the lower price to the higher, both ends in."""
    if price_range is None:
        return row
    low, high = price_range
    levels = [level for level in _read_levels(row.price_levels) if low <= Decimal(level.price) <= high]
    return msgspec.structs.replace(row, price_levels=Raw(msgspec.json.encode(levels)))


def map_identity(row: LiquidationMapRow) -> tuple[object, ...]:
    return (row.coin, row.timestamp)


def map_fact(row: LiquidationMapRow) -> Fact:
    return Fact(time=row.timestamp, coin=row.coin)
