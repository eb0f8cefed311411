"""Expected rows of the simulator's messages, derived without the project's own decoding and rules."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from realtime.sources.simulator import OutgoingMessage

LARGE_TRADE_USD = 1_000_000
ACTIVITY_TYPES = {"Open Long": "OPEN", "Open Short": "OPEN", "Close Long": "CLOSE", "Close Short": "CLOSE"}
FLIP_DIRECTIONS = ("Long > Short", "Short > Long")

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
    """The rows expected from a message while `whales` are watched, each with its table.

    Rows are identical if all values are equal. `stored_values` makes them comparable with the rows of QUERIES.
    """
    value = json.loads(message.value, parse_float=Decimal)
    if "data_type" in value:
        return _computed(str(message.kind), value["data"], value["coin"], _time(value["timestamp"]), whales)
    return _transaction(value, whales)


def stored_values(table: str, row: Row) -> Row:
    """The row without values that are no columns: the source fill, which distinguishes equal activities."""
    return row[:-2] if table == "whale_activities" else row


class Oracle:
    """The expected rows, independent of the order and the repetition of messages.

    Stores one hash per row, valid in this process only. At about 10^9 rows two rows may have equal hashes.
    """

    def __init__(self, whales: Collection[str]) -> None:
        self._whales = whales
        self._seen: set[int] = set()
        self.hashes: dict[str, Counter[int]] = {table: Counter() for table in QUERIES}

    def add(self, message: OutgoingMessage) -> None:
        for table, row in rows_of(message, self._whales):
            row_hash = hash((table, row))
            if row_hash not in self._seen:
                self._seen.add(row_hash)
                self.hashes[table][hash(stored_values(table, row))] += 1

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
        for position in data["positions"]:
            yield "positions", (coin, time, *map(_exact, position.values()))


def _transaction(data: dict[str, Any], whales: Collection[str]) -> Rows:
    time, coin, wallet = _time(data["block_timestamp"]), data["coin"], data["user_address"]
    amounts = [_exact(data[name]) for name in ("size", "price", "leverage", "margin", "fee")]
    raw = _json(data["raw_data"])
    yield "transactions", (data["tx_hash"], time, wallet, coin, data["side"], *amounts, data["tx_type"], raw)
    if data["tx_type"] == "LIQUIDATION":
        yield from _liquidation(data, data["size"], data["price"], whales)
    elif wallet in whales:
        for kind in _activity_types(data):
            yield _activity(kind, data, data["size"])


def _liquidation(data: dict[str, Any], size: str, price: str, whales: Collection[str]) -> Rows:
    position = (_time(data["block_timestamp"]), data["coin"], data["user_address"], data["side"])
    yield "liquidations", (*position, Decimal(size), Decimal(price), data["raw_data"]["tid"])
    if data["user_address"] in whales:
        yield _activity("LIQUIDATION", data, size)


def _activity(kind: str, data: dict[str, Any], size: str) -> tuple[str, Row]:
    activity = (kind, data["user_address"], data["coin"], data["tx_hash"], Decimal(size))
    source = (data["side"], data["raw_data"]["tid"])
    return "whale_activities", (*activity, _time(data["block_timestamp"]), *source)


def _activity_types(data: dict[str, Any]) -> list[str]:
    direction = data["raw_data"].get("dir")
    if direction in FLIP_DIRECTIONS:
        types = ["OPEN", "CLOSE"]
    else:
        types = [ACTIVITY_TYPES[direction]] if direction in ACTIVITY_TYPES else []
    is_large = data["tx_type"] == "ORDER" and Decimal(data["size"]) * Decimal(data["price"]) >= LARGE_TRADE_USD
    return [*types, "LARGE_TRADE"] if is_large else types


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _exact(value: str | None) -> Decimal | str | None:
    return value if value is None or value.startswith("0x") or value.isalpha() else Decimal(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
