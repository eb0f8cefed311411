"""Bytes to typed rows, or a dead letter. The last place where bad data can exist."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from django.conf import settings

from hyperwatch.formats import isoformat
from realtime.kafka.consumer import KafkaMessage
from realtime.models import Reason
from realtime.storage import retention
from realtime.streams import Decode, Derive, Fact, Row, Stream, TopicName, all_streams

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW = timedelta(minutes=10)


class InvalidKafkaMessage(Exception):
    """A message that cannot be stored, and why."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class PendingRow(NamedTuple):
    """A row on its way into the store. `source` is the place of the fact that it derives from, in its stream.

    `key` is of its identity (`identity_key`).
    """

    key: bytes
    row: Row
    fact: Fact
    source_stream: str | None = None
    source_ord: int | None = None

    @property
    def event_key(self) -> bytes:
        """As it is stored: 4 bytes of the fact's time, in seconds, then 12 of the key.

        So facts of one time have their places in the index beside each other, when they are stored, looked for and
        pruned; those of keys alone are all over it.
        """
        return (int(self.fact.time.timestamp()) % 2**32).to_bytes(4, "big") + self.key[:12]


class RejectedMessage(NamedTuple):
    message: KafkaMessage
    reason: Reason
    error: str


# By stream and key, in the order in which they came.
Rows = dict[str, dict[bytes, PendingRow]]


@dataclass
class DecodedBatch:
    """What a batch of messages comes to: rows without repeats, rows that differ from an earlier one, refusals."""

    rows: Rows = field(default_factory=lambda: defaultdict(dict))
    conflicts: list[tuple[str, Row]] = field(default_factory=list)
    rejected: list[RejectedMessage] = field(default_factory=list)
    # The Kafka timestamp of the oldest message.
    sent_ms: int = 0
    # When its times were judged; None where there are none.
    judged_at: datetime | None = None

    def add(self, stream: str, incoming: PendingRow) -> None:
        first = self.rows[stream].setdefault(incoming.key, incoming)
        if first is not incoming and first.row != incoming.row:
            self.conflicts.append((stream, incoming.row))


def identity_key(identity: Iterable[object]) -> bytes:
    """16 bytes of an identity: BLAKE2b (RFC 7693) over its texts, which contain no unit separator."""
    texts = [part if isinstance(part, str) else _key_text(part) for part in identity]
    return blake2b("\x1f".join(texts).encode(), digest_size=16).digest()


def _key_text(part: object) -> str:
    return isoformat(part) if isinstance(part, datetime) else str(part)


def decode_batch(messages: Sequence[KafkaMessage], now: datetime) -> DecodedBatch:
    """Rows and dead letters of `messages`; `now` is what the future is measured from."""
    cutoffs = retention.cutoffs(now)
    batch = DecodedBatch(sent_ms=min((message.timestamp_ms for message in messages), default=0), judged_at=now)
    routes = _routes()
    for message in messages:
        try:
            for stream, incoming in _within_retention(_decode(message, routes, now), cutoffs):
                batch.add(stream, incoming)
        except InvalidKafkaMessage as refused:
            batch.rejected.append(RejectedMessage(message, refused.reason, refused.error))
    return batch


def derive(rows: Rows) -> Rows:
    """The rows that derive from `rows`. Asks the database what is watched at this moment."""
    return {stream.name: _derive(stream, stream.derive, rows) for stream in all_streams() if stream.derive}


def _derive(stream: Stream, derive: Derive, rows: Rows) -> dict[bytes, PendingRow]:
    offered = {name: list(rows[name].values()) for name in stream.derives_from if name in rows}
    derived = {}
    for name, place, row in derive({name: [one.fact for one in incoming] for name, incoming in offered.items()}):
        key = identity_key((*stream.identity(row), name, offered[name][place].key.hex()))
        derived[key] = PendingRow(key, row, stream.fact(row), name, place)
    return derived


class _Tagged(msgspec.Struct):
    data_type: str


_read_tag = msgspec.json.Decoder(_Tagged).decode
_read_anything = msgspec.json.Decoder(float_hook=str).decode

Routes = dict[tuple[str, str | None], list[tuple[Stream, Decode]]]


def _routes() -> Routes:
    """Which streams read a message, by the topic's name in the settings and the tag."""
    names = {
        TopicName.TRANSACTIONS: settings.KAFKA_TOPIC_TRANSACTIONS,
        TopicName.COMPUTED_DATA: settings.KAFKA_TOPIC_COMPUTED_DATA,
    }
    routes: Routes = defaultdict(list)
    for stream in all_streams():
        for (topic, tag), decode in stream.sources.items():
            routes[names[topic], tag].append((stream, decode))
    return routes


def _decode(message: KafkaMessage, routes: Routes, now: datetime) -> list[tuple[str, PendingRow]]:
    value = _checked_bytes(message)
    try:
        return [
            (stream.name, _pending_row(stream, row, now))
            for stream, decode in _readers(message.topic, value, routes)
            for row in decode(value)
        ]
    except (ValueError, RecursionError, OverflowError) as error:
        # OverflowError: a time at the end of the calendar, with an offset that leads out of it.
        raise _reason_of(value, error) from error


def _within_retention(rows: list[tuple[str, PendingRow]], cutoffs: dict[str, datetime]) -> list[tuple[str, PendingRow]]:
    """What retention has removed does not come back; a message is refused where that is all that it has."""
    if not cutoffs:
        return rows
    kept = [(stream, incoming) for stream, incoming in rows if incoming.fact.time >= cutoffs.get(stream, EARLIEST)]
    if rows and not kept:
        stream, incoming = rows[0]
        raise InvalidKafkaMessage(Reason.TOO_OLD, f"{isoformat(incoming.fact.time)} is older than {stream} are kept")
    return kept


def _checked_bytes(message: KafkaMessage) -> bytes:
    if message.value is None:
        raise InvalidKafkaMessage(Reason.NOT_JSON, "the message has no value")
    if len(message.value) > settings.KAFKA_MAX_MESSAGE_BYTES:
        raise InvalidKafkaMessage(
            Reason.TOO_LARGE, f"{len(message.value)} bytes, at most {settings.KAFKA_MAX_MESSAGE_BYTES} are taken"
        )
    return message.value


def _readers(topic: str, value: bytes, routes: Routes) -> list[tuple[Stream, Decode]]:
    value.decode()  # msgspec does not look into what it only skips
    untagged = routes.get((topic, None))
    if untagged:
        return untagged
    tag = _read_tag(value).data_type
    readers = routes.get((topic, tag))
    if not readers:
        raise InvalidKafkaMessage(Reason.UNKNOWN_TYPE, f"data_type '{tag[:64]}' is not known")
    return readers


def _pending_row(stream: Stream, row: Row, now: datetime) -> PendingRow:
    fact = stream.fact(row)
    _check_time(fact.time, now)
    return PendingRow(identity_key(stream.identity(row)), row, fact)


def _check_time(time: datetime, now: datetime) -> None:
    if time > now + MAX_CLOCK_SKEW:
        raise InvalidKafkaMessage(
            Reason.IN_FUTURE, f"{isoformat(time)} is more than 10 minutes ahead of {isoformat(now)}"
        )
    if time < EARLIEST:
        raise InvalidKafkaMessage(Reason.TOO_OLD, f"{isoformat(time)} is before 2020")


def _reason_of(value: bytes, error: Exception) -> InvalidKafkaMessage:
    """The reason for what a decoder raised; it stops at the first trouble, so the whole is looked at again."""
    try:
        whole = _read_anything(value)
    except RecursionError:
        return InvalidKafkaMessage(Reason.BAD_VALUE, "nested too deeply")
    except msgspec.ValidationError as bad:
        # It is JSON, with an integer of thousands of digits in it.
        return InvalidKafkaMessage(Reason.BAD_VALUE, str(bad))
    except ValueError as broken:
        return InvalidKafkaMessage(Reason.NOT_JSON, str(broken))
    if not isinstance(whole, dict):
        return InvalidKafkaMessage(Reason.NOT_AN_OBJECT, f"expected an object, got {type(whole).__name__}")
    if str(error).startswith("Object missing required field"):
        return InvalidKafkaMessage(Reason.MISSING_FIELD, str(error))
    return InvalidKafkaMessage(Reason.BAD_VALUE, str(error))
