"""Messages that must be refused, one for each reason that kafka.md names."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from realtime.sources.simulator import OutgoingMessage
from realtime.streams import TopicName

# A coin that the soak's own database refuses, and nobody before it.
REFUSED_COIN = "REFUSED"
REFUSE = f"ALTER TABLE transactions ADD CONSTRAINT refused_by_soak CHECK (coin <> '{REFUSED_COIN}')"
TOO_LARGE_BYTES = 600_000


class InvalidMessages(NamedTuple):
    reason: str
    topic: TopicName
    value: bytes


def poison(order: OutgoingMessage) -> Iterator[InvalidMessages]:
    """One of each reason, made from an `order` of the market."""
    whole = json.loads(order.value)
    now = datetime.now(UTC)
    yield InvalidMessages("NOT_JSON", TopicName.TRANSACTIONS, order.value[:-1])
    yield InvalidMessages("NOT_AN_OBJECT", TopicName.TRANSACTIONS, b"[%s]" % order.value)
    yield _computed("UNKNOWN_TYPE", {"data_type": "FUNDING", "coin": "BTC", "timestamp": now.isoformat(), "data": {}})
    yield _order("MISSING_FIELD", {name: value for name, value in whole.items() if name != "coin"})
    yield _order("BAD_VALUE", {**whole, "size": "NaN"})
    yield _order("IN_FUTURE", {**whole, "block_timestamp": (now + timedelta(days=1)).isoformat()})
    yield _order("TOO_OLD", {**whole, "block_timestamp": "2019-12-31T23:59:59Z"})
    yield _order("TOO_LARGE", {**whole, "raw_data": {"more": "x" * TOO_LARGE_BYTES}})
    yield _order("REFUSED_BY_DATABASE", {**whole, "coin": REFUSED_COIN})


def _order(reason: str, value: dict[str, Any]) -> InvalidMessages:
    return InvalidMessages(reason, TopicName.TRANSACTIONS, json.dumps(value).encode())


def _computed(reason: str, value: dict[str, Any]) -> InvalidMessages:
    return InvalidMessages(reason, TopicName.COMPUTED_DATA, json.dumps(value).encode())
