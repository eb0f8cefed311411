"""What the demo market's messages come to, read from them by other means than the project's own."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from hyperwatch.tests.services.postgres import Database
from realtime.market import Market, Message

LARGE_TRADE_USD = 1_000_000
OPENING = {"Open Long": "OPEN", "Open Short": "OPEN", "Close Long": "CLOSE", "Close Short": "CLOSE"}
FLIPS = ("Long > Short", "Short > Long")


def market(seed: int, count: int) -> tuple[Market, list[Message]]:
    """A market that ended a moment ago, with many liquidations."""
    start = datetime.now(UTC) - timedelta(minutes=10)
    simulated = Market(seed=seed, start=start, coins=8, wallets=60)
    return simulated, list(islice(simulated.messages(rate=25), count))


class Truth:
    """The rows that must be there, however often and in whatever order the messages came."""

    def __init__(self, messages: Iterable[Message], whales: Iterable[str]) -> None:
        self._whales = set(whales)
        self._rows: dict[str, set[tuple[Any, ...]]] = {name: set() for name in QUERIES}
        for message in messages:
            value = json.loads(message.value, parse_float=Decimal)
            self._add(str(message.kind), value.get("data", value), value.get("coin"), value.get("timestamp"))
        self.counts = {name: len(rows) for name, rows in self._rows.items()}

    def rows(self, table: str) -> Counter[tuple[Any, ...]]:
        # What tells two alike activities apart is the fill that each came from, which is no column.
        is_derived = table == "whale_activities"
        return Counter(row[:-2] if is_derived else row for row in self._rows[table])

    def _add(self, kind: str, data: dict[str, Any], coin: str, time: str | None) -> None:
        if time is None:
            self._add_transaction(data)
        elif kind == "LIQUIDATION":
            self._add_liquidation(data, data["liquidated_size"], data["liquidation_price"])
        elif kind == "LONG_SHORT_RATIO":
            self._rows["long_short_ratios"].add((coin, _time(time), *map(Decimal, data.values())))
        elif kind == "LIQUIDATION_MAP":
            self._rows["liquidation_map"].add((coin, _time(time), _json(data["price_levels"])))
        else:
            self._rows["position_summaries"].add((coin, _time(time)))
            for held in data["positions"]:
                self._rows["positions"].add((coin, _time(time), *map(_exact, held.values())))

    def _add_transaction(self, data: dict[str, Any]) -> None:
        time, coin, wallet = _time(data["block_timestamp"]), data["coin"], data["user_address"]
        amounts = [_exact(data[name]) for name in ("size", "price", "leverage", "margin", "fee")]
        row = (data["tx_hash"], time, wallet, coin, data["side"], *amounts, data["tx_type"], _json(data["raw_data"]))
        self._rows["transactions"].add(row)
        if data["tx_type"] == "LIQUIDATION":
            self._add_liquidation(data, data["size"], data["price"])
        elif wallet in self._whales:
            for kind in _kinds(data):
                self._add_activity(kind, data, data["size"])

    def _add_liquidation(self, data: dict[str, Any], size: str, price: str) -> None:
        who = (_time(data["block_timestamp"]), data["coin"], data["user_address"], data["side"])
        self._rows["liquidations"].add((*who, Decimal(size), Decimal(price), data["raw_data"]["tid"]))
        if data["user_address"] in self._whales:
            self._add_activity("LIQUIDATION", data, size)

    def _add_activity(self, kind: str, data: dict[str, Any], size: str) -> None:
        what = (kind, data["user_address"], data["coin"], data["tx_hash"], Decimal(size))
        source = (data["side"], data["raw_data"]["tid"])
        self._rows["whale_activities"].add((*what, _time(data["block_timestamp"]), *source))


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


def assert_database_holds(database: Database, truth: Truth) -> None:
    """Every row that must be there, once, and no other; each stream's numbers from 1 to its head."""
    for name, query in QUERIES.items():
        assert Counter(database.query(query)) == truth.rows(name), name
    for stream, head in database.query("SELECT name, head FROM streams"):
        assert database.query(f"SELECT id FROM {stream} ORDER BY id") == [(seq,) for seq in range(1, head + 1)]
    assert database.query("SELECT reason, error FROM dead_letters") == []


def is_complete(database: Database, truth: Truth) -> bool:
    """Whether as many rows are there as must be; the way to wait for it."""
    return all(database.value(f"SELECT count(*) FROM {name}") >= count for name, count in truth.counts.items())
