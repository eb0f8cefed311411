"""Input messages (kafka.md) and output rows (T and P of rest.md) of transactions and position summaries."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Raw

from hyperwatch.formats import AMOUNT, Side, TransactionSide, product, utc
from realtime.streams import Fact, Row
from realtime.structs.input_types import (
    Address,
    Amount,
    BlockNumber,
    Coin,
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


class TransactionType(StrEnum):
    ORDER = "ORDER"
    LIQUIDATION = "LIQUIDATION"
    TRANSFER = "TRANSFER"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"


class TransactionRow(Row, frozen=True, kw_only=True):
    """A fill, transfer, deposit or withdrawal. A rebate is a negative fee; `raw_data` is the venue's own record."""

    tx_hash: HashText
    block_number: int | None
    block_timestamp: Time
    user_address: AddressText
    coin: CoinText
    side: TransactionSide
    size: AmountText
    price: AmountText
    leverage: LeverageText | None
    margin: SignedText | None
    fee: SignedText | None
    tx_type: TransactionType
    raw_data: Annotated[Raw | None, JsonOf(dict[str, Any] | None)]


class PositionSummaryRow(Row, frozen=True, kw_only=True):
    """The positions of one coin at one time; `positions` is the JSON of Position structs."""

    coin: str
    timestamp: datetime
    positions: Raw


class PositionRow(msgspec.Struct, kw_only=True):
    user_address: Address
    side: Side
    size: Amount
    entry_price: Amount
    mark_price: Amount
    leverage: Leverage | None = None
    margin: SignedAmount | None = None
    unrealized_pnl: SignedAmount | None = None


class _TransactionMessage(msgspec.Struct, kw_only=True):
    tx_hash: Hash
    block_timestamp: InputTime
    user_address: Address
    coin: Coin
    side: TransactionSide
    size: Amount
    price: Amount
    tx_type: TransactionType
    block_number: BlockNumber | None = None
    leverage: Leverage | None = None
    margin: SignedAmount | None = None
    fee: SignedAmount | None = None
    raw_data: Raw = Raw(b"null")


class _SummaryData(msgspec.Struct):
    positions: list[PositionRow]


class _SummaryMessage(msgspec.Struct):
    coin: Coin
    timestamp: InputTime
    data: _SummaryData


_decode = decoder(_TransactionMessage)
_decode_summary = decoder(_SummaryMessage)


def from_transaction(message: bytes) -> Sequence[TransactionRow]:
    """Decodes a message of the transactions topic."""
    data = _decode(message)
    return [
        TransactionRow(
            tx_hash=data.tx_hash,
            block_number=known_block(data.block_number),
            block_timestamp=utc(data.block_timestamp),
            user_address=data.user_address,
            coin=data.coin,
            side=data.side,
            size=data.size,
            price=data.price,
            leverage=data.leverage,
            margin=data.margin,
            fee=data.fee,
            tx_type=data.tx_type,
            raw_data=object_or_none(data.raw_data),
        )
    ]


def identity(row: TransactionRow) -> tuple[object, ...]:
    """Deduplication key of a transaction (kafka.md)."""
    raw = raw_data(row.raw_data)
    if raw.trade_id is not None:
        return ("tid", row.block_timestamp, row.coin, row.user_address, raw.venue_side or row.side, raw.trade_id)
    content = (row.coin, row.user_address, row.side, row.size, row.price, row.tx_type)
    return (row.block_timestamp, row.tx_hash, *content)


def _exact_value(row: TransactionRow) -> str:
    """size × price, not rounded: filters compare it as PostgreSQL does. Raises ValueError if it overflows."""
    value = product(row.size, row.price)
    AMOUNT.rounded(value)
    return f"{value:f}"


def fact(row: TransactionRow) -> Fact:
    return Fact(
        time=row.block_timestamp,
        coin=row.coin,
        address=row.user_address,
        side=row.side,
        kind=row.tx_type,
        value=_exact_value(row),
        size=row.size,
        price=row.price,
        hash=row.tx_hash,
        direction=raw_data(row.raw_data).direction,
    )


def from_summary(message: bytes) -> Sequence[PositionSummaryRow]:
    """Decodes a POSITION_SUMMARY message. Raises ValueError if a wallet has two positions on one side."""
    envelope = _decode_summary(message)
    positions = envelope.data.positions
    if len({(position.user_address, position.side) for position in positions}) < len(positions):
        raise ValueError("duplicate position: each wallet may have one LONG and one SHORT in a summary")
    return [
        PositionSummaryRow(
            coin=envelope.coin, timestamp=utc(envelope.timestamp), positions=Raw(msgspec.json.encode(positions))
        )
    ]


def summary_identity(row: PositionSummaryRow) -> tuple[object, ...]:
    return (row.coin, row.timestamp)


def summary_fact(row: PositionSummaryRow) -> Fact:
    return Fact(time=row.timestamp, coin=row.coin)
