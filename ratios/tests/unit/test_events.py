"""When two messages tell of one ratio, and how a pair becomes two numbers that make one."""

from typing import Any

import pytest

from realtime.ingest.decoder import decode_batch
from realtime.kafka.consumer import KafkaMessage
from realtime.tests.builders import NOW, ratio


def pairs(*messages: KafkaMessage) -> list[tuple[str, str]]:
    batch = decode_batch(messages, NOW)
    assert not batch.rejected, batch.rejected
    rows: list[Any] = [incoming.row for incoming in batch.rows["long_short_ratios"].values()]
    return [(bytes(row.long_ratio).decode(), bytes(row.short_ratio).decode()) for row in rows]


def test_coin_and_time_make_it_another() -> None:
    other = [ratio(coin="btc"), ratio(timestamp="2026-01-10T10:30:00.5Z"), ratio(long_accounts=99)]
    assert len(pairs(ratio(), *other, ratio(timestamp="2026-01-10T12:30:00+02:00"))) == 3


@pytest.mark.parametrize(
    ("long", "short", "stored_as"),
    [
        (0.5124, 0.4876, ("0.5124", "0.4876")),
        ("1", 0, ("1.0000", "0.0000")),
        ("0.33335", "0.66665", ("0.3334", "0.6666")),
        ("0.33345", "0.66655", ("0.3334", "0.6666")),
        ("0.3333", "0.6668", ("0.3333", "0.6667")),
        ("0.99999", "0.00001", ("1.0000", "0.0000")),
        (5e-1, "50e-2", ("0.5000", "0.5000")),
    ],
)
def test_ratio_pair_is_rounded_half_even_to_one(long: Any, short: Any, stored_as: tuple[str, str]) -> None:
    assert pairs(ratio(long_ratio=long, short_ratio=short)) == [stored_as]
