"""Recorded messages of the venue, stored and read again: each field as it came."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hyperwatch.tests.api_client import get, walk
from hyperwatch.tests.services.environment import ROOT
from realtime.tests.builders import message, stored

FOLDER = ROOT.parent / "shared" / "data"
COUNTS = {"transactions": 140, "liquidations": 480, "ratios": 2_854, "liquidation_maps": 656}
# The records are of 2025 and 2026.
LATER = datetime(2027, 1, 1, tzinfo=UTC)
NUMBERS = {
    "size",
    "price",
    "fee",
    "margin",
    "liquidated_size",
    "liquidation_price",
    "liquidation_value_usd",
    "long_position_value",
    "short_position_value",
    "total_position_value",
    "long_liquidation_value",
    "short_liquidation_value",
    "long_ratio",
    "short_ratio",
}

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded messages beside the repository"),
]


def recorded(name: str) -> list[dict[str, Any]]:
    """Stores a file twice, and gives its values."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    sent = [message(record["topic"], json.dumps(record["value"]).encode()) for record in records]
    assert sum(len(new.rows) for new in stored(*sent, now=LATER)) >= COUNTS[name]
    assert stored(*sent, now=LATER) == []
    assert len(records) == COUNTS[name]
    return [record["value"] for record in records]


def alike(answer: Any, sent: Any, name: str = "") -> bool:
    """Whether the response equals the message; numbers in any notation, an unknown block as null."""
    if isinstance(sent, dict) and name != "raw_data":
        return all(alike(answer[key], value, key) for key, value in sent.items())
    if isinstance(sent, list) and name != "raw_data":
        return len(answer) == len(sent) and all(map(alike, answer, sent))
    if name in NUMBERS:
        return Decimal(str(answer)) == Decimal(str(sent))
    if name == "block_number":
        return bool(answer == (sent or None))
    if name.endswith("timestamp"):
        return datetime.fromisoformat(answer) == datetime.fromisoformat(sent)
    return bool(answer == sent)


def check(answer: list[dict[str, Any]], sent: list[dict[str, Any]]) -> None:
    """Each message is returned once, numbered from 1 in the order of sending."""
    in_order = sorted(answer, key=lambda row: int(row["seq"]))
    for number, (row, value) in enumerate(zip(in_order, sent, strict=True), 1):
        assert row["seq"] == number
        assert alike(row, value), (row, value)


def test_transactions_are_told_as_they_were_recorded() -> None:
    sent = recorded("transactions")
    check(walk("/transactions"), sent)
    assert get("/transactions")["pagination"]["total"] == COUNTS["transactions"]


def test_recorded_liquidations_read_back_unchanged_with_exact_sums() -> None:
    sent = [value["data"] for value in recorded("liquidations")]
    check(walk("/liquidations"), sent)
    stats = get("/liquidations/stats")
    assert stats["total_liquidations"] == COUNTS["liquidations"]
    assert Decimal(stats["total_liquidation_value_usd"]) == sum(Decimal(row["liquidation_value_usd"]) for row in sent)
    btc = [Decimal(row["liquidation_value_usd"]) for row in sent if row["coin"] == "BTC"]
    assert stats["by_coin"].get("BTC", {"count": 0})["count"] == len(btc)
    oldest = min(datetime.fromisoformat(row["block_timestamp"]) for row in sent)
    assert datetime.fromisoformat(stats["since"]) == oldest


def test_ratios_are_told_as_they_were_recorded() -> None:
    sent = [{**value, **value["data"]} for value in recorded("ratios")]
    coins = {value["coin"] for value in sent}
    asked = sorted(coins)[::4]
    answer = [
        row
        for coin in asked
        for row in walk(f"/long-short-ratios/history?coin={coin}&interval=1m&start_time=2025-01-01")
    ]
    assert len(get("/long-short-ratios/current")["ratios"]) == len(coins)
    last = {
        (value["coin"], value["timestamp"][:16]): value
        for value in sorted(sent, key=lambda value: value["timestamp"])
        if value["coin"] in asked
    }
    assert len(answer) == len(last)
    for row in answer:
        value = last[row["coin"], row["timestamp"][:16]]
        assert alike(row, {name: value[name] for name in row if name != "seq"})


def test_maps_are_told_as_they_were_recorded() -> None:
    sent = recorded("liquidation_maps")
    for value in sent[:: max(len(sent) // 60, 1)]:
        answer = get(f"/liquidation-map?coin={value['coin']}&timestamp={value['timestamp']}")
        levels = sorted(value["data"]["price_levels"], key=lambda level: Decimal(level["price"]))
        assert datetime.fromisoformat(answer["timestamp"]) == datetime.fromisoformat(value["timestamp"])
        assert alike(answer["price_levels"], levels)
