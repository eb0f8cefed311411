"""What the demo market's messages come to, read from them by other means than the project's own."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from realtime.sources.simulator import OutgoingMessage

LARGE_TRADE_USD = 1_000_000
OPENING = {"Open Long": "OPEN", "Open Short": "OPEN", "Close Long": "CLOSE", "Close Short": "CLOSE"}
FLIPS = ("Long > Short", "Short > Long")

Row = tuple[Any, ...]
Rows = Iterator[tuple[str, Row]]

QUERIES = {
    "transactions": (
        "SELECT tx_hash, block_timestamp, user_address, coin, side, size, price, leverage, margin, fee, tx_type, "
        "raw_data::text FROM transactions"
    ),
    "liquidations": (
        "SELECT block_timestamp, coin, user_address, side, liquidated_size, liquidation_price, "
        "(raw_data->>'tid')::bigint FROM liquidations"
    ),
    "whale_activities": ("SELECT activity_type, wallet_address, coin, tx_hash, size, timestamp FROM whale_activities"),
    "long_short_ratios": (
        "SELECT coin, timestamp, long_ratio, short_ratio, long_position_value, short_position_value, "
        "total_position_value, long_accounts::numeric, short_accounts::numeric FROM long_short_ratios"
    ),
    "liquidation_map": "SELECT coin, timestamp, price_levels::text FROM liquidation_map",
    "position_summaries": "SELECT coin, timestamp FROM position_summaries",
    "positions": (
        "SELECT coin, timestamp, user_address, side, size, entry_price, mark_price, leverage, margin, "
        "unrealized_pnl FROM positions"
    ),
}


def rows_of(message: OutgoingMessage, whales: Collection[str]) -> Rows:
    """The rows that a message comes to while `whales` are watched, each with its table.

    They are told apart by all of their values, and compare with what QUERIES read once they went through `shown`.
    """
    value = json.loads(message.value, parse_float=Decimal)
    if "data_type" in value:
        return _computed(str(message.kind), value["data"], value["coin"], _time(value["timestamp"]), whales)
    return _transaction(value, whales)


def shown(table: str, row: Row) -> Row:
    """What tells two alike activities apart is the fill that each came from, which is no column."""
    return row[:-2] if table == "whale_activities" else row


class Oracle:
    """The rows that must be there, however often and in whatever order the messages came.

    Of each row a hash is kept, which is this process's own: of two rows in a thousand million two may be taken for
    the same.
    """

    def __init__(self, whales: Collection[str]) -> None:
        self._whales = whales
        self._known: set[int] = set()
        self.hashes: dict[str, Counter[int]] = {table: Counter() for table in QUERIES}

    def add(self, message: OutgoingMessage) -> None:
        for table, row in rows_of(message, self._whales):
            known = hash((table, row))
            if known not in self._known:
                self._known.add(known)
                self.hashes[table][hash(shown(table, row))] += 1

    @property
    def counts(self) -> dict[str, int]:
        return {table: hashes.total() for table, hashes in self.hashes.items()}


def _computed(kind: str, data: dict[str, Any], coin: str, time: datetime, whales: Collection[str]) -> Rows:
    if kind == "LIQUIDATION":
        yield from _liquidation(data, data["liquidated_size"], data["liquidation_price"], whales)
    elif kind == "LONG_SHORT_RATIO":
        yield "long_short_ratios", (coin, time, *map(Decimal, data.values()))
    elif kind == "LIQUIDATION_MAP":
        yield "liquidation_map", (coin, time, _json(data["price_levels"]))
    else:
        yield "position_summaries", (coin, time)
        for held in data["positions"]:
            yield "positions", (coin, time, *map(_exact, held.values()))


def _transaction(data: dict[str, Any], whales: Collection[str]) -> Rows:
    time, coin, wallet = _time(data["block_timestamp"]), data["coin"], data["user_address"]
    amounts = [_exact(data[name]) for name in ("size", "price", "leverage", "margin", "fee")]
    raw = _json(data["raw_data"])
    yield "transactions", (data["tx_hash"], time, wallet, coin, data["side"], *amounts, data["tx_type"], raw)
    if data["tx_type"] == "LIQUIDATION":
        yield from _liquidation(data, data["size"], data["price"], whales)
    elif wallet in whales:
        for kind in _kinds(data):
            yield _activity(kind, data, data["size"])


def _liquidation(data: dict[str, Any], size: str, price: str, whales: Collection[str]) -> Rows:
    who = (_time(data["block_timestamp"]), data["coin"], data["user_address"], data["side"])
    yield "liquidations", (*who, Decimal(size), Decimal(price), data["raw_data"]["tid"])
    if data["user_address"] in whales:
        yield _activity("LIQUIDATION", data, size)


def _activity(kind: str, data: dict[str, Any], size: str) -> tuple[str, Row]:
    what = (kind, data["user_address"], data["coin"], data["tx_hash"], Decimal(size))
    source = (data["side"], data["raw_data"]["tid"])
    return "whale_activities", (*what, _time(data["block_timestamp"]), *source)


def _kinds(data: dict[str, Any]) -> list[str]:
    direction = data["raw_data"].get("dir")
    kinds = ["OPEN", "CLOSE"] if direction in FLIPS else [OPENING[direction]] if direction in OPENING else []
    is_large = data["tx_type"] == "ORDER" and Decimal(data["size"]) * Decimal(data["price"]) >= LARGE_TRADE_USD
    return [*kinds, "LARGE_TRADE"] if is_large else kinds


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _exact(value: str | None) -> Decimal | str | None:
    return value if value is None or value.startswith("0x") or value.isalpha() else Decimal(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
