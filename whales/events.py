"""Activities of watched wallets (A of rest.md), derived from transactions and liquidations."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple, Self

import msgspec
from msgspec import Meta, Raw

from hyperwatch.formats import AMOUNT
from realtime.streams import Fact, Row
from realtime.structs.output_types import AddressText, AmountText, CoinText, HashText, JsonOf, Number, Time


class ActivityType(StrEnum):
    OPEN = "OPEN"
    CLOSE = "CLOSE"
    LIQUIDATION = "LIQUIDATION"
    LARGE_TRADE = "LARGE_TRADE"


class Details(msgspec.Struct):
    """Data of the underlying transaction or liquidation; `dir` is the venue's term ("Open Long")."""

    side: Annotated[str, Meta(examples=["LONG"])] | None
    price: AmountText | None
    dir: Annotated[str, Meta(examples=["Open Long"])] | None


class WhaleActivityRow(Row, frozen=True, kw_only=True):
    """A trade, position change or liquidation of a watched wallet."""

    id: Number = 0
    whale_id: Number
    wallet_address: AddressText
    alias: Annotated[str, Meta(examples=["Market maker 1"])]
    activity_type: ActivityType
    tx_hash: HashText
    coin: CoinText
    size: AmountText
    value_usd: AmountText
    timestamp: Time
    details: Annotated[Raw, JsonOf(Details)]

    def with_seq(self, seq: int) -> Self:
        return msgspec.structs.replace(self, seq=seq, id=seq, **self.output_times())


class Whale(NamedTuple):
    """The columns of a watch that an activity copies."""

    id: int
    alias: str


def activities(stream: str, fact: Fact, whale: Whale, large_trade_usd: Decimal) -> list[WhaleActivityRow]:
    """Activities derived from one fact of a watched wallet; a trade of `large_trade_usd` or more is large."""
    if stream == "liquidations":
        return [_activity(ActivityType.LIQUIDATION, fact, whale)]
    if fact.kind == "LIQUIDATION":
        return []
    kinds = _position_changes(fact)
    if fact.kind == "ORDER" and Decimal(fact.value or "0") >= large_trade_usd:
        kinds.append(ActivityType.LARGE_TRADE)
    return [_activity(kind, fact, whale) for kind in kinds]


def _position_changes(fact: Fact) -> list[ActivityType]:
    """OPEN and CLOSE, from the side or the venue's direction; a flip closes one position and opens another."""
    if fact.side in (ActivityType.OPEN, ActivityType.CLOSE):
        return [ActivityType(fact.side)]
    direction = fact.direction or ""
    if direction in ("Long > Short", "Short > Long"):
        return [ActivityType.CLOSE, ActivityType.OPEN]
    return [kind for kind in (ActivityType.OPEN, ActivityType.CLOSE) if direction.startswith(f"{kind.capitalize()} ")]


def _activity(kind: ActivityType, fact: Fact, whale: Whale) -> WhaleActivityRow:
    return WhaleActivityRow(
        whale_id=whale.id,
        wallet_address=fact.address or "",
        alias=whale.alias,
        activity_type=kind,
        tx_hash=fact.hash or "",
        coin=fact.coin,
        size=fact.size or "0",
        value_usd=AMOUNT.rounded(Decimal(fact.value or "0")),
        timestamp=fact.time,
        details=Raw(msgspec.json.encode(Details(fact.side, fact.price, fact.direction))),
    )


def identity(row: WhaleActivityRow) -> tuple[object, ...]:
    """The type; the writer adds the identity of the source fact."""
    return (row.activity_type,)


def fact(row: WhaleActivityRow) -> Fact:
    return Fact(
        time=row.timestamp,
        coin=row.coin,
        address=row.wallet_address,
        kind=row.activity_type,
        whale_id=row.whale_id,
        value=row.value_usd,
    )
