"""Fills, liquidations and movements of money as messages."""

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
    """What goes to Kafka, and what a reader may compare it by.

    `identity` is the contract's (kafka.md, "Identity"), its time as the message writes it; `time_us` is
    microseconds of the market's time since its start.
    """

    kind: Kind
    topic: TopicName
    key: str
    value: bytes
    identity: tuple[str | int, ...]
    time_us: int


class Block(NamedTuple):
    """What happens at one moment: the simulated chain's block number, and its time in three forms."""

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
    # Fast markets have thousands of blocks in one second.
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def order(fill: Fill, block: Block) -> OutgoingMessage:
    direction = _direction(fill.start, fill.delta)
    transaction = message_types.SimTransaction(
        tx_hash=fill.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=fill.wallet.address,
        coin=fill.book.coin.name,
        # The side of the position that the fill is about; of a flip, the new one's.
        side="LONG" if direction.endswith("Long") else "SHORT",
        size=message_types.money(abs(fill.delta)),
        price=message_types.money(fill.price),
        leverage=message_types.leverage(fill.leverage),
        margin=message_types.money(fill.margin),
        fee=message_types.money(fill.fee),
        tx_type="ORDER",
        raw_data=_raw_fill(fill, direction, block),
    )
    return _transaction(Kind.ORDER, transaction, fill.trade.tid, block)


def liquidation(taken: SimLiquidation, block: Block) -> OutgoingMessage:
    """On the computed topic."""
    data = message_types.LiquidationData(
        tx_hash=taken.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=taken.wallet.address,
        coin=taken.book.coin.name,
        side=taken.side,
        liquidated_size=message_types.money(taken.size),
        liquidation_price=message_types.money(taken.price),
        liquidation_value_usd=message_types.money(taken.size * taken.price),
        leverage=message_types.leverage(taken.leverage),
        margin=message_types.money(taken.margin),
        liquidator_address=_liquidator(taken),
        raw_data=_raw_liquidation(taken, block),
    )
    coin, address = data.coin, data.user_address
    value = message_types.encode(message_types.Computed("LIQUIDATION", coin, block.timestamp, data))
    identity = (block.timestamp, coin, address, taken.side, taken.trade.tid)
    return OutgoingMessage(Kind.LIQUIDATION, TopicName.COMPUTED_DATA, coin, value, identity, block.time_us)


def liquidation_transaction(taken: SimLiquidation, block: Block) -> OutgoingMessage:
    """The same fact by the other road: a transaction that is stored as a liquidation too."""
    transaction = message_types.SimTransaction(
        tx_hash=taken.trade.hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=taken.wallet.address,
        coin=taken.book.coin.name,
        side=taken.side,
        size=message_types.money(taken.size),
        price=message_types.money(taken.price),
        leverage=message_types.leverage(taken.leverage),
        margin=message_types.money(taken.margin),
        fee=message_types.money(taken.fee),
        tx_type="LIQUIDATION",
        liquidator_address=_liquidator(taken),
        liquidation_value_usd=message_types.money(taken.size * taken.price),
        raw_data=_raw_liquidation(taken, block),
    )
    return _transaction(Kind.LIQUIDATION_TRANSACTION, transaction, taken.trade.tid, block)


def movement(kind: Kind, wallet: Wallet, amount: Decimal, tx_hash: str, block: Block) -> OutgoingMessage:
    """A deposit (LONG: more USDC than before) or a withdrawal (SHORT). The sides OPEN and CLOSE are not for
    these: a watched wallet would be told to have opened a position."""
    transaction = message_types.SimTransaction(
        tx_hash=tx_hash,
        block_number=block.number,
        block_timestamp=block.timestamp,
        user_address=wallet.address,
        coin="USDC",
        side="LONG" if kind is Kind.DEPOSIT else "SHORT",
        size=message_types.money(amount),
        price="1.00000000",
        fee="0.00000000",
        tx_type=kind.value,
        raw_data=message_types.Movement(kind.value.lower(), message_types.plain(amount)),
    )
    return _transaction(kind, transaction, None, block)


def _transaction(kind: Kind, fact: message_types.SimTransaction, tid: int | None, block: Block) -> OutgoingMessage:
    place = (block.timestamp, fact.coin, fact.user_address, fact.side)
    identity = (*place, fact.tx_hash, fact.size, fact.price, fact.tx_type) if tid is None else (*place, tid)
    return OutgoingMessage(
        kind, TopicName.TRANSACTIONS, fact.user_address, message_types.encode(fact), identity, block.time_us
    )


def _direction(start: Decimal, delta: Decimal) -> str:
    """The venue's `dir`."""
    if start * delta >= 0:
        return "Open Long" if delta > 0 else "Open Short"
    if abs(delta) <= abs(start):
        return "Close Long" if start > 0 else "Close Short"
    return "Long > Short" if start > 0 else "Short > Long"


def _raw_fill(fill: Fill, direction: str, block: Block) -> message_types.Order:
    trade = fill.trade
    return message_types.Order(
        coin=fill.book.coin.name,
        px=message_types.plain(fill.price),
        sz=message_types.plain(abs(fill.delta)),
        side="B" if fill.delta > 0 else "A",
        time=block.unix_ms,
        startPosition=message_types.plain(fill.start),
        dir=direction,
        closedPnl=message_types.plain(fill.pnl),
        hash=trade.hash,
        oid=trade.taker_oid if fill.is_taker else trade.maker_oid,
        crossed=fill.is_taker,
        fee=message_types.plain(fill.fee),
        tid=trade.tid,
    )


def _raw_liquidation(taken: SimLiquidation, block: Block) -> message_types.Order:
    is_long = taken.side == "LONG"
    price = message_types.plain(taken.price)
    return message_types.Order(
        coin=taken.book.coin.name,
        px=price,
        sz=message_types.plain(taken.size),
        side="A" if is_long else "B",
        time=block.unix_ms,
        startPosition=message_types.plain(taken.size if is_long else -taken.size),
        dir="Close Long" if is_long else "Close Short",
        closedPnl=message_types.plain(taken.pnl),
        hash=taken.trade.hash,
        oid=taken.trade.taker_oid,
        crossed=True,
        fee=message_types.plain(taken.fee),
        tid=taken.trade.tid,
        liquidation=message_types.Forced(taken.wallet.address, price, "backstop" if taken.liquidator else "market"),
    )


def _liquidator(taken: SimLiquidation) -> str | None:
    return taken.liquidator.address if taken.liquidator else None
