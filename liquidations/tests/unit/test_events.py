"""When two messages tell of one liquidation, on one topic or on both, and what maps come to."""

import json
from typing import Any

import pytest

from realtime.ingest.decoder import decode_batch
from realtime.kafka.consumer import KafkaMessage
from realtime.tests.builders import (
    NOW,
    OTHER_WALLET,
    level,
    liquidation,
    liquidation_map,
    transaction,
)

ZERO = "0x" + "0" * 64


def rows(*messages: KafkaMessage, stream: str = "liquidations") -> list[Any]:
    batch = decode_batch(messages, NOW)
    assert not batch.rejected, batch.rejected
    return [incoming.row for incoming in batch.rows[stream].values()]


OTHER: dict[str, Any] = {
    "tx_hash": ZERO,
    "block_number": 2,
    "block_timestamp": "2026-01-10T10:30:00.000001Z",
    "user_address": OTHER_WALLET,
    "coin": "btc",
    "side": "SHORT",
    "liquidated_size": "0.50000001",
    "liquidation_price": "45000.50000001",
    "liquidation_value_usd": "1",
    "leverage": "11",
    "margin": None,
    "liquidator_address": None,
}
WITH_TID = {"block_timestamp", "user_address", "coin", "side"}
WITHOUT_TID = WITH_TID | {"tx_hash", "liquidated_size", "liquidation_price", "liquidator_address"}


@pytest.mark.parametrize("field", OTHER)
@pytest.mark.parametrize(("raw", "counting"), [({"tid": 1}, WITH_TID), (None, WITHOUT_TID)], ids=["tid", "no tid"])
def test_what_makes_it_another_liquidation(field: str, raw: Any, counting: set[str]) -> None:
    other = liquidation(raw_data=raw, **{field: OTHER[field]})
    assert len(rows(liquidation(raw_data=raw), other)) == 1 + (field in counting)


def on_the_other_topic(**fields: Any) -> KafkaMessage:
    answer = {"tx_type": "LIQUIDATION", "liquidator_address": OTHER_WALLET, "liquidation_value_usd": "22500.25"}
    return transaction(**{**answer, **fields})


@pytest.mark.parametrize("raw", [{"tid": 1}, None])
def test_one_liquidation_on_both_topics_is_one(raw: Any) -> None:
    both = (liquidation(raw_data=raw), on_the_other_topic(raw_data=raw))
    assert len(rows(*both)) == 1
    assert rows(both[0]) == rows(both[1])
    assert rows(*both, stream="transactions")[0].tx_type == "LIQUIDATION"


def test_a_transaction_of_another_type_is_no_liquidation() -> None:
    assert rows(transaction(), transaction(tx_type="TRANSFER", raw_data=None)) == []


def test_size_and_price_are_accepted_for_longer_names() -> None:
    short = {"liquidated_size": ..., "liquidation_price": ..., "size": 0.5, "price": "45000.5"}
    assert rows(liquidation(**short)) == rows(liquidation())


@pytest.mark.parametrize("missing", [None, ...])
def test_missing_fields_are_null_and_value_is_computed(missing: Any) -> None:
    optional = ("block_number", "leverage", "margin", "liquidator_address", "raw_data", "liquidation_value_usd")
    (row,) = rows(liquidation(**dict.fromkeys(optional, missing)))
    assert {getattr(row, name) for name in optional[:-1]} == {None}
    assert row.liquidation_value_usd == "22500.25000000"


@pytest.mark.parametrize(
    ("size", "price", "value"),
    [
        ("0.00000001", "0.5", "0.00000000"),
        ("0.00000003", "0.5", "0.00000002"),
        ("0.00000001", "1.5", "0.00000002"),
        ("0.00000005", "0.5", "0.00000002"),
        ("0.00000001", "0.50000001", "0.00000001"),
        ("123456789.12345678", "98765.4321", "12193263123456.78912237"),
    ],
)
def test_missing_value_is_rounded_half_even(size: str, price: str, value: str) -> None:
    (row,) = rows(liquidation(liquidated_size=size, liquidation_price=price, liquidation_value_usd=None))
    assert row.liquidation_value_usd == value


def test_a_value_of_zero_is_a_value() -> None:
    assert rows(liquidation(liquidation_value_usd="0"))[0].liquidation_value_usd == "0.00000000"


def test_map_levels_are_sorted_by_price() -> None:
    (row,) = rows(liquidation_map(levels=[level("1e5"), level(9000), level("44000.5")]), stream="liquidation_map")
    assert [one["price"] for one in json.loads(bytes(row.price_levels))] == [
        "9000.00000000",
        "44000.50000000",
        "100000.00000000",
    ]
