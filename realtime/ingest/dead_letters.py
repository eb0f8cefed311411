"""Dead letters: previews rejected messages and resends them after the cause is fixed."""

from collections.abc import Iterable
from functools import partial

from django.db.models.functions import Now

from realtime.kafka.producer import KafkaProducer
from realtime.models import DeadLetter


class ResendFailed(Exception):
    """Kafka did not acknowledge some letters; only the acknowledged ones are marked as resent."""


def resend(letters: Iterable[DeadLetter]) -> int:
    """Resends letters to their original topics with unchanged key and bytes; returns their number.

    A message that is rejected again becomes a new letter with its new offset. Raises KafkaUnavailable or
    ResendFailed.
    """
    producer, attempted, sent = KafkaProducer(), 0, list[int]()
    for letter in letters:
        attempted += 1
        on_acknowledged = partial(sent.append, letter.pk)
        producer.send(letter.topic, _bytes(letter.key), _bytes(letter.bytes), on_acknowledged)
    producer.flush()
    DeadLetter.objects.filter(pk__in=sent).update(resent_at=Now())
    if len(sent) < attempted:
        raise ResendFailed(f"Kafka did not accept {attempted - len(sent)} of {attempted} letters: {producer.problem}")
    return attempted


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def preview(letter: DeadLetter, max_bytes: int = 100_000) -> str:
    """A letter's bytes as UTF-8 text; invalid bytes appear as \\x escapes."""
    value = _bytes(letter.bytes)
    if value is None:
        return "(no value)"
    truncation = "" if len(value) <= max_bytes else f"\n… {len(value) - max_bytes} more bytes"
    return value[:max_bytes].decode("utf-8", errors="backslashreplace") + truncation
