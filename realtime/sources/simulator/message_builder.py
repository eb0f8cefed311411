"""Builds Kafka messages from fills, liquidations and transfers."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from realtime.sources.simulator import message_types
from realtime.sources.simulator.matching import Fill, SimLiquidation
from realtime.sources.simulator.wallets import Wallet
from realtime.streams import TopicName


class Kind(StrEnum):
    ORDER = "ORDER"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    LIQUIDATION = "LIQUIDATION"
    LIQUIDATION_TRANSACTION = "LIQUIDATION_TRANSACTION"
    LONG_SHORT_RATIO = "LONG_SHORT_RATIO"
    LIQUIDATION_MAP = "LIQUIDATION_MAP"
    POSITION_SUMMARY = "POSITION_SUMMARY"


class OutgoingMessage(NamedTuple):
    """A Kafka message, with its identity for comparisons.

    `identity` is defined in kafka.md, "Identity"; its time is text as in the message. `time_us` is the simulated
    time since the start, in microseconds.
    """

    kind: Kind
    topic: TopicName
    key: str
    value: bytes
    identity: tuple[str | int, ...]
    time_us: int


class Block(NamedTuple):
    """A block of the simulated chain: its number, and its time in three formats."""

    number: int
    time_us: int
    unix_ms: int
    timestamp: str

    @classmethod
    def at(cls, number: int, start_ms: int, time_us: int) -> "Block":
        unix_ms = start_ms + time_us // 1000
        return cls(number, time_us, unix_ms, f"{_second(unix_ms // 1000)}.{unix_ms % 1000:03d}Z")


@lru_cache(maxsize=4)
def _second(unix: int) -> str:
    # Cached: at high rates one second has thousands of blocks.
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def order(fill: Fill, block: Block) -> OutgoingMessage:
    direction = _direction(fill.start_size, fill.delta)
    transaction = message_types.SimTransaction(
        tx_hash=fill.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=fill.wallet.address,
        coin=fill.market.instrument.name,
        # The side of the position that the fill changes; for a flip, the side of the new position.
        side="LONG" if direction.endswith("Long") else "SHORT",
        size=message_types.decimal_text(abs(fill.delta)),
        price=message_types.decimal_text(fill.price),
        leverage=message_types.leverage_text(fill.leverage),
        margin=message_types.decimal_text(fill.margin),
        fee=message_types.decimal_text(fill.fee),
        tx_type="ORDER",
        raw_data=_raw_fill(fill, direction, block),
    )
    return _transaction(Kind.ORDER, transaction, fill.trade.tid, block)


def liquidation(liquidated: SimLiquidation, block: Block) -> OutgoingMessage:
    """A liquidation as a message of the computed topic."""
    data = message_types.SimLiquidationData(
        tx_hash=liquidated.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=liquidated.wallet.address,
        coin=liquidated.market.instrument.name,
        side=liquidated.side,
        liquidated_size=message_types.decimal_text(liquidated.size),
        liquidation_price=message_types.decimal_text(liquidated.price),
        liquidation_value_usd=message_types.decimal_text(liquidated.size * liquidated.price),
        leverage=message_types.leverage_text(liquidated.leverage),
        margin=message_types.decimal_text(liquidated.margin),
        liquidator_address=_liquidator(liquidated),
        raw_data=_raw_liquidation(liquidated, block),
    )
    coin, address = data.coin, data.user_address
    value = message_types.encode(message_types.ComputedMessage("LIQUIDATION", coin, block.timestamp, data))
    identity = (block.timestamp, coin, address, liquidated.side, liquidated.trade.tid)
    return OutgoingMessage(Kind.LIQUIDATION, TopicName.COMPUTED_DATA, coin, value, identity, block.time_us)


def liquidation_transaction(liquidated: SimLiquidation, block: Block) -> OutgoingMessage:
    """The same fact as a message of the transactions topic; it is stored in both tables."""
    transaction = message_types.SimTransaction(
        tx_hash=liquidated.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=liquidated.wallet.address,
        coin=liquidated.market.instrument.name,
        side=liquidated.side,
        size=message_types.decimal_text(liquidated.size),
        price=message_types.decimal_text(liquidated.price),
        leverage=message_types.leverage_text(liquidated.leverage),
        margin=message_types.decimal_text(liquidated.margin),
        fee=message_types.decimal_text(liquidated.fee),
        tx_type="LIQUIDATION",
        liquidator_address=_liquidator(liquidated),
        liquidation_value_usd=message_types.decimal_text(liquidated.size * liquidated.price),
        raw_data=_raw_liquidation(liquidated, block),
    )
    return _transaction(Kind.LIQUIDATION_TRANSACTION, transaction, liquidated.trade.tid, block)


def transfer(kind: Kind, wallet: Wallet, amount: Decimal, tx_hash: str, block: Block) -> OutgoingMessage:
    """A deposit (side LONG: the USDC balance grows) or a withdrawal (SHORT).

    The sides OPEN and CLOSE would create a position activity of a watched wallet.
    """
    transaction = message_types.SimTransaction(
        tx_hash=tx_hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=wallet.address,
        coin="USDC",
        side="LONG" if kind is Kind.DEPOSIT else "SHORT",
        size=message_types.decimal_text(amount),
        price="1.00000000",
        fee="0.00000000",
        tx_type=kind.value,
        raw_data=message_types.RawTransfer(kind.value.lower(), message_types.venue_decimal(amount)),
    )
    return _transaction(kind, transaction, None, block)


def _transaction(kind: Kind, fact: message_types.SimTransaction, tid: int | None, block: Block) -> OutgoingMessage:
    common = (block.timestamp, fact.coin, fact.user_address, fact.side)
    identity = (*common, fact.tx_hash, fact.size, fact.price, fact.tx_type) if tid is None else (*common, tid)
    return OutgoingMessage(
        kind, TopicName.TRANSACTIONS, fact.user_address, message_types.encode(fact), identity, block.time_us
    )


def _direction(start: Decimal, delta: Decimal) -> str:
    """The venue's `dir` field."""
    if start * delta >= 0:
        return "Open Long" if delta > 0 else "Open Short"
    if abs(delta) <= abs(start):
        return "Close Long" if start > 0 else "Close Short"
    return "Long > Short" if start > 0 else "Short > Long"


def _raw_fill(fill: Fill, direction: str, block: Block) -> message_types.RawFill:
    trade = fill.trade
    return message_types.RawFill(
        coin=fill.market.instrument.name,
        px=message_types.venue_decimal(fill.price),
        sz=message_types.venue_decimal(abs(fill.delta)),
        side="B" if fill.delta > 0 else "A",
        time=block.unix_ms,
        startPosition=message_types.venue_decimal(fill.start_size),
        dir=direction,
        closedPnl=message_types.venue_decimal(fill.pnl),
        hash=trade.hash,
        oid=trade.taker_oid if fill.is_taker else trade.maker_oid,
        crossed=fill.is_taker,
        fee=message_types.venue_decimal(fill.fee),
        tid=trade.tid,
    )


def _raw_liquidation(liquidated: SimLiquidation, block: Block) -> message_types.RawFill:
    is_long = liquidated.side == "LONG"
    price = message_types.venue_decimal(liquidated.price)
    return message_types.RawFill(
        coin=liquidated.market.instrument.name,
        px=price,
        sz=message_types.venue_decimal(liquidated.size),
        side="A" if is_long else "B",
        time=block.unix_ms,
        startPosition=message_types.venue_decimal(liquidated.size if is_long else -liquidated.size),
        dir="Close Long" if is_long else "Close Short",
        closedPnl=message_types.venue_decimal(liquidated.pnl),
        hash=liquidated.trade.hash,
        oid=liquidated.trade.taker_oid,
        crossed=True,
        fee=message_types.venue_decimal(liquidated.fee),
        tid=liquidated.trade.tid,
        liquidation=message_types.RawLiquidation(
            liquidated.wallet.address, price, "backstop" if liquidated.liquidator else "market"
        ),
    )


def _liquidator(liquidated: SimLiquidation) -> str | None:
    return liquidated.liquidator.address if liquidated.liquidator else None
