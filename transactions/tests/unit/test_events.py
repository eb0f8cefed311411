"""Identity of transactions, their stored fields, and summaries of positions."""

from typing import Any

import pytest

from realtime.ingest.decoder import decode_batch
from realtime.kafka.consumer import KafkaMessage
from realtime.tests.builders import (
    HASH,
    NOW,
    OTHER_WALLET,
    transaction,
)

ZERO = "0x" + "0" * 64


def facts(*messages: KafkaMessage) -> int:
    """How many transactions the messages tell of."""
    batch = decode_batch(messages, NOW)
    assert not batch.rejected, batch.rejected
    return len(batch.rows["transactions"])


def the_row(of: KafkaMessage) -> Any:
    (incoming,) = decode_batch([of], NOW).rows["transactions"].values()
    return incoming.row


OTHER: dict[str, Any] = {
    "tx_hash": ZERO,
    "block_number": 2,
    "block_timestamp": "2026-01-10T10:30:00.000001Z",
    "user_address": OTHER_WALLET,
    "coin": "btc",
    "side": "SHORT",
    "size": "0.50000001",
    "price": "45000.50000001",
    "leverage": "11",
    "margin": None,
    "fee": "1.25",
    "tx_type": "TRANSFER",
}
WITH_TID = {"block_timestamp", "user_address", "coin", "side"}
WITHOUT_TID = WITH_TID | {"tx_hash", "size", "price", "tx_type"}


@pytest.mark.parametrize("field", OTHER)
def test_identity_with_tid_includes_time_coin_wallet_side(field: str) -> None:
    other = transaction(**{field: OTHER[field]})
    assert facts(transaction(), other) == 1 + (field in WITH_TID)


@pytest.mark.parametrize("field", OTHER)
def test_identity_without_tid_includes_hash_size_price_type(field: str) -> None:
    other = transaction(raw_data=None, **{field: OTHER[field]})
    assert facts(transaction(raw_data=None), other) == 1 + (field in WITHOUT_TID)


def test_one_hash_covers_many_fills() -> None:
    for tx_hash in (HASH, ZERO):
        assert facts(*[transaction(tx_hash=tx_hash, raw_data={"tid": tid}) for tid in range(5)]) == 5
        assert facts(*[transaction(tx_hash=tx_hash, raw_data=None, size=size) for size in range(1, 6)]) == 5


def test_tid_as_number_and_text_is_equal() -> None:
    assert facts(transaction(raw_data={"tid": 7}), transaction(raw_data={"tid": "7", "dir": "x"})) == 1
    assert facts(*[transaction(raw_data=raw) for raw in ({"tid": 7}, {"tid": None}, {}, None, ...)]) == 2
    assert facts(transaction(raw_data={"tid": 2**80}), transaction(raw_data={"tid": 2**80 + 1})) == 2


@pytest.mark.parametrize("raw", [{"tid": 1}, None])
@pytest.mark.parametrize(
    "same",
    [
        {"user_address": "0x" + "A1" * 20, "tx_hash": "0x" + "C3" * 32},
        {"block_timestamp": "2026-01-10T13:30:00+03:00"},
        {"block_timestamp": "2026-01-10T10:30:00"},
        {"block_timestamp": "2026-01-10T10:30:00.000000Z"},
        {"size": 0.5, "price": 45000.5},
        {"size": "5e-1", "price": "+0045000.50"},
    ],
)
def test_the_same_in_other_words_is_the_same(raw: Any, same: dict[str, Any]) -> None:
    assert the_row(transaction(raw_data=raw, **same)) == the_row(transaction(raw_data=raw))
    assert facts(transaction(raw_data=raw), transaction(raw_data=raw, **same)) == 1


def test_a_block_zero_is_not_known() -> None:
    assert [the_row(transaction(block_number=number)).block_number for number in (0, None, ..., 5)] == [
        None,
        None,
        None,
        5,
    ]
