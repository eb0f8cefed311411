"""Dead letters: messages that were refused, to be looked at and sent again once the cause is mended."""

from collections.abc import Iterable
from functools import partial

from django.db.models.functions import Now

from realtime.kafka.producer import KafkaProducer
from realtime.models import DeadLetter


class ResendFailed(Exception):
    """Kafka did not take some of the letters; these are not marked as sent, the others are."""


def resend(letters: Iterable[DeadLetter]) -> int:
    """Sends letters to the topics they came from, bytes and key unchanged; returns how many.

    What is refused again becomes a letter anew, under its new place. Raises KafkaUnavailable or ResendFailed.
    """
    producer, tried, sent = KafkaProducer(), 0, list[int]()
    for letter in letters:
        tried += 1
        producer.send(letter.topic, _bytes(letter.key), _bytes(letter.bytes), then=partial(sent.append, letter.pk))
    producer.flush()
    DeadLetter.objects.filter(pk__in=sent).update(resent_at=Now())
    if len(sent) < tried:
        trouble = producer.failures[0] if producer.failures else "no answer"
        raise ResendFailed(f"{tried - len(sent)} of {tried} letters were not taken: {trouble}")
    return tried


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def preview(letter: DeadLetter, most: int = 100_000) -> str:
    """A letter's bytes for a person: text where they are text, what is none as \\x escapes."""
    value = _bytes(letter.bytes)
    if value is None:
        return "(no value)"
    cut = "" if len(value) <= most else f"\n… {len(value) - most} bytes more"
    return value[:most].decode("utf-8", errors="backslashreplace") + cut
