"""Invalid messages, one for each rejection reason in kafka.md."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from realtime.sources.simulator import OutgoingMessage
from realtime.streams import TopicName

# Valid for the decoder; a CHECK constraint of the soak's database rejects it.
REJECTED_COIN = "REFUSED"
ADD_REJECTING_CONSTRAINT = f"ALTER TABLE transactions ADD CONSTRAINT refused_by_soak CHECK (coin <> '{REJECTED_COIN}')"
TOO_LARGE_BYTES = 600_000


class ExpectedDeadLetter(NamedTuple):
    reason: str
    topic: TopicName
    value: bytes


def invalid_messages(order: OutgoingMessage) -> Iterator[ExpectedDeadLetter]:
    """One message for each reason, derived from a valid `order`."""
    valid = json.loads(order.value)
    now = datetime.now(UTC)
    yield ExpectedDeadLetter("NOT_JSON", TopicName.TRANSACTIONS, order.value[:-1])
    yield ExpectedDeadLetter("NOT_AN_OBJECT", TopicName.TRANSACTIONS, b"[%s]" % order.value)
    yield _computed("UNKNOWN_TYPE", {"data_type": "FUNDING", "coin": "BTC", "timestamp": now.isoformat(), "data": {}})
    yield _order("MISSING_FIELD", {name: value for name, value in valid.items() if name != "coin"})
    yield _order("BAD_VALUE", {**valid, "size": "NaN"})
    yield _order("IN_FUTURE", {**valid, "block_timestamp": (now + timedelta(days=1)).isoformat()})
    yield _order("TOO_OLD", {**valid, "block_timestamp": "2019-12-31T23:59:59Z"})
    yield _order("TOO_LARGE", {**valid, "raw_data": {"more": "x" * TOO_LARGE_BYTES}})
    yield _order("REFUSED_BY_DATABASE", {**valid, "coin": REJECTED_COIN})


def _order(reason: str, value: dict[str, Any]) -> ExpectedDeadLetter:
    return ExpectedDeadLetter(reason, TopicName.TRANSACTIONS, json.dumps(value).encode())


def _computed(reason: str, value: dict[str, Any]) -> ExpectedDeadLetter:
    return ExpectedDeadLetter(reason, TopicName.COMPUTED_DATA, json.dumps(value).encode())
