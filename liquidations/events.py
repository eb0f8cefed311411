"""Input messages (kafka.md) and output rows (L and M of rest.md) of liquidations and liquidation maps."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
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
    ContradictionError,
    Count,
    Hash,
    InputTime,
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
    """A position that the venue closed by force. A liquidated LONG is a forced sale."""

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
    """Open position value by liquidation price of one coin, in levels ascending by price."""

    coin: CoinText
    timestamp: Time
    price_levels: Annotated[Raw, JsonOf(list[PriceLevel])]


class _LiquidationData(msgspec.Struct, kw_only=True):
    """L of rest.md without `seq`. Accepts `size` and `price` as aliases of the longer names."""

    tx_hash: Hash
    block_timestamp: InputTime
    user_address: Address
    coin: Coin
    side: Side
    liquidated_size: Amount | None = None
    size: Amount | None = None
    liquidation_price: Amount | None = None
    price: Amount | None = None
    block_number: BlockNumber | None = None
    liquidation_value_usd: Amount | None = None
    leverage: Leverage | None = None
    margin: SignedAmount | None = None
    liquidator_address: Address | None = None
    raw_data: Raw = Raw(b"null")


class _LiquidationMessage(msgspec.Struct):
    coin: Coin
    timestamp: InputTime
    data: _LiquidationData


class _MapData(msgspec.Struct):
    price_levels: list[PriceLevel]


class _MapMessage(msgspec.Struct):
    coin: Coin
    timestamp: InputTime
    data: _MapData


class _TransactionKind(msgspec.Struct):
    tx_type: str = ""


_decode_message = decoder(_LiquidationMessage)
_decode_kind = decoder(_TransactionKind)
_decode_transaction = decoder(_LiquidationData)
_decode_levels = decoder(list[PriceLevel])
_decode_map = decoder(_MapMessage)


def from_computed(message: bytes) -> Sequence[LiquidationRow]:
    """Decodes a LIQUIDATION message of the computed-data topic."""
    envelope = _decode_message(message)
    if envelope.coin != envelope.data.coin:
        raise ContradictionError(f"`coin` is {envelope.coin} outside of `data` and {envelope.data.coin} inside")
    if utc(envelope.timestamp) < utc(envelope.data.block_timestamp):
        raise ContradictionError("`timestamp` is earlier than `data.block_timestamp`; accepted: the same time or later")
    return [_liquidation(envelope.data)]


def from_transaction(message: bytes) -> Sequence[LiquidationRow]:
    """Decodes a transaction of type LIQUIDATION; returns no row for other types."""
    if _decode_kind(message).tx_type != "LIQUIDATION":
        return []
    return [_liquidation(_decode_transaction(message))]


def _liquidation(data: _LiquidationData) -> LiquidationRow:
    size = _one_of(data.liquidated_size, data.size, "liquidated_size", "size")
    price = _one_of(data.liquidation_price, data.price, "liquidation_price", "price")
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


def _one_of(value: str | None, alias_value: str | None, name: str, alias: str) -> str:
    if value is None and alias_value is None:
        raise ValueError(f"Object missing required field `{name}` or `{alias}`")
    if value is not None and alias_value is not None and value != alias_value:
        raise ContradictionError(f"`{name}` is {value} and `{alias}` is {alias_value}; accepted: one value")
    return value or alias_value or ""


def identity(row: LiquidationRow) -> tuple[object, ...]:
    """Deduplication key of a liquidation (kafka.md)."""
    tid = raw_data(row.raw_data).trade_id
    position = (row.block_timestamp, row.coin, row.user_address, row.side)
    if tid is not None:
        return ("tid", *position, tid)
    return (*position, row.tx_hash, row.liquidated_size, row.liquidation_price, row.liquidator_address)


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
    """Decodes a LIQUIDATION_MAP message and sorts its levels by price, ascending."""
    envelope = _decode_map(message)
    levels = sorted(envelope.data.price_levels, key=lambda level: Decimal(level.price))
    for lower, upper in pairwise(levels):
        if lower.price == upper.price:
            raise ContradictionError(f"`price_levels` has two levels at {lower.price}; accepted: one a price")
    return [
        LiquidationMapRow(
            coin=envelope.coin, timestamp=utc(envelope.timestamp), price_levels=Raw(msgspec.json.encode(levels))
        )
    ]


def restrict_to(row: LiquidationMapRow, price_range: tuple[Decimal, Decimal] | None) -> LiquidationMapRow:
    """Restricts a map to the levels from the lower to the higher price, inclusive."""
    if price_range is None:
        return row
    low, high = price_range
    levels = [level for level in _decode_levels(row.price_levels) if low <= Decimal(level.price) <= high]
    return msgspec.structs.replace(row, price_levels=Raw(msgspec.json.encode(levels)))


def map_identity(row: LiquidationMapRow) -> tuple[object, ...]:
    return (row.coin, row.timestamp)


def map_fact(row: LiquidationMapRow) -> Fact:
    return Fact(time=row.timestamp, coin=row.coin)
