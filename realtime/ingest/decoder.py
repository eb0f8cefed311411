"""Decodes message bytes to typed rows or rejected messages; everything after it handles validated data only."""

import codecs
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from django.conf import settings

from hyperwatch.formats import compact_isoformat, isoformat
from realtime.kafka.consumer import KafkaMessage
from realtime.models import Reason
from realtime.storage import retention
from realtime.streams import Decode, Derive, Fact, Row, Stream, TopicName, all_streams
from realtime.structs.input_types import ContradictionError

MIN_FACT_TIME = datetime(2020, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW = timedelta(minutes=10)


NULL_VALUE = re.compile(r"Expected .*, got `null`")


class InvalidKafkaMessage(Exception):
    """A message that cannot be stored, with the reason code and error text."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class PendingRow(NamedTuple):
    """A row to store. `key` is the hash of its identity (`identity_key`).

    A derived row has the stream of its source and `source_ord`, the source's position in that stream's batch.
    """

    key: bytes
    row: Row
    fact: Fact
    source_stream: str | None = None
    source_ord: int | None = None

    @property
    def event_key(self) -> bytes:
        """The stored key: 4 bytes of the fact time in seconds, then 12 bytes of `key`.

        The time prefix puts facts of one time on adjacent index pages for insert, duplicate check and prune. A hash
        alone would spread them over the whole index.
        """
        return (int(self.fact.time.timestamp()) % 2**32).to_bytes(4, "big") + self.key[:12]


class RejectedMessage(NamedTuple):
    message: KafkaMessage
    reason: Reason
    error: str


# By stream, then by key, in arrival order.
Rows = dict[str, dict[bytes, PendingRow]]


@dataclass
class DecodedBatch:
    """The result of decoding a batch: distinct rows, conflicts with earlier rows, rejected messages."""

    rows: Rows = field(default_factory=lambda: defaultdict(dict))
    conflicts: list[tuple[str, Row]] = field(default_factory=list)
    rejected: list[RejectedMessage] = field(default_factory=list)
    # The Kafka timestamp of the oldest message.
    sent_ms: int = 0
    # The time of the validation of fact times; None without rows.
    validated_at: datetime | None = None

    def add(self, stream: str, pending: PendingRow) -> None:
        first = self.rows[stream].setdefault(pending.key, pending)
        if first is not pending and first.row != pending.row:
            self.conflicts.append((stream, pending.row))


def identity_key(identity: Iterable[object]) -> bytes:
    """Hashes an identity to 16 bytes: BLAKE2b (RFC 7693) over its texts, joined by U+001F; no text contains it."""
    texts = [part if isinstance(part, str) else _key_text(part) for part in identity]
    return blake2b("\x1f".join(texts).encode(), digest_size=16).digest()


def _key_text(part: object) -> str:
    return compact_isoformat(part) if isinstance(part, datetime) else str(part)


def decode_batch(messages: Sequence[KafkaMessage], now: datetime) -> DecodedBatch:
    """Decodes and validates `messages`; fact times are validated against `now`."""
    cutoffs = retention.cutoffs(now)
    batch = DecodedBatch(sent_ms=min((message.timestamp_ms for message in messages), default=0), validated_at=now)
    routes = _routes()
    for message in messages:
        try:
            for stream, pending in _within_retention(_decode(message, routes, now), cutoffs):
                batch.add(stream, pending)
        except InvalidKafkaMessage as invalid:
            batch.rejected.append(RejectedMessage(message, invalid.reason, invalid.error))
    return batch


def derive(rows: Rows, now: datetime | None = None) -> Rows:
    """The rows that derive from `rows`, within their own retention at `now`; queries the currently watched wallets."""
    cutoffs = retention.cutoffs(now) if now else {}
    return {
        stream.name: {
            key: pending
            for key, pending in _derive(stream, stream.derive, rows).items()
            if pending.fact.time >= cutoffs.get(stream.name, MIN_FACT_TIME)
        }
        for stream in all_streams()
        if stream.derive
    }


def _derive(stream: Stream, derive: Derive, rows: Rows) -> dict[bytes, PendingRow]:
    sources = {name: list(rows[name].values()) for name in stream.derives_from if name in rows}
    derived = {}
    for name, ord_, row in derive({name: [one.fact for one in pending] for name, pending in sources.items()}):
        key = identity_key((*stream.identity(row), name, sources[name][ord_].key.hex()))
        derived[key] = PendingRow(key, row, stream.fact(row), name, ord_)
    return derived


class _Tagged(msgspec.Struct):
    data_type: str


_read_tag = msgspec.json.Decoder(_Tagged).decode
_decode_any_json = msgspec.json.Decoder(float_hook=str).decode

Routes = dict[tuple[str, str | None], list[tuple[Stream, Decode]]]


def _routes() -> Routes:
    """The streams and decoders of a message, by topic name in the settings and tag."""
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
        # OverflowError: a time near year 9999 whose UTC offset exceeds the range of datetime.
        raise _reason_of(value, error) from error


def _within_retention(rows: list[tuple[str, PendingRow]], cutoffs: dict[str, datetime]) -> list[tuple[str, PendingRow]]:
    """Drops rows older than their stream's retention; raises InvalidKafkaMessage if no row remains."""
    if not cutoffs:
        return rows
    retained = [(stream, row) for stream, row in rows if row.fact.time >= cutoffs.get(stream, MIN_FACT_TIME)]
    if rows and not retained:
        stream, row = rows[0]
        raise InvalidKafkaMessage(Reason.TOO_OLD, f"{isoformat(row.fact.time)} is older than the retention of {stream}")
    return retained


def _checked_bytes(message: KafkaMessage) -> bytes:
    if message.value is None:
        raise InvalidKafkaMessage(Reason.NOT_JSON, "the message has no value")
    if len(message.value) > settings.KAFKA_MAX_MESSAGE_BYTES:
        raise InvalidKafkaMessage(
            Reason.TOO_LARGE, f"{len(message.value)} bytes, at most {settings.KAFKA_MAX_MESSAGE_BYTES} are accepted"
        )
    return message.value.removeprefix(codecs.BOM_UTF8)


def _readers(topic: str, value: bytes, routes: Routes) -> list[tuple[Stream, Decode]]:
    value.decode()  # msgspec does not validate the UTF-8 of skipped fields
    untagged = routes.get((topic, None))
    if untagged:
        return untagged
    tag = _read_tag(value).data_type
    readers = routes.get((topic, tag))
    if not readers:
        raise InvalidKafkaMessage(Reason.UNKNOWN_TYPE, f"unknown data_type '{tag[:64]}'")
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
    if time < MIN_FACT_TIME:
        raise InvalidKafkaMessage(Reason.TOO_OLD, f"{isoformat(time)} is before 2020")


def _reason_of(value: bytes, error: Exception) -> InvalidKafkaMessage:
    """Maps a decoder's error to a reason; decodes the whole again, because a decoder stops at the first error."""
    try:
        document = _decode_any_json(value.removeprefix(codecs.BOM_UTF8))
    except RecursionError:
        return InvalidKafkaMessage(Reason.BAD_VALUE, "nested too deeply")
    except msgspec.ValidationError as invalid:
        # Valid JSON with an integer beyond Python's limit of digits.
        return InvalidKafkaMessage(Reason.BAD_VALUE, str(invalid))
    except ValueError as syntax_error:
        return InvalidKafkaMessage(Reason.NOT_JSON, str(syntax_error))
    if not isinstance(document, dict):
        return InvalidKafkaMessage(Reason.NOT_AN_OBJECT, f"expected an object, got {type(document).__name__}")
    if isinstance(error, ContradictionError):
        return InvalidKafkaMessage(Reason.CONTRADICTION, str(error))
    # Null is the same as a missing field.
    if str(error).startswith("Object missing required field") or NULL_VALUE.search(str(error)):
        return InvalidKafkaMessage(Reason.MISSING_FIELD, str(error))
    return InvalidKafkaMessage(Reason.BAD_VALUE, str(error))
