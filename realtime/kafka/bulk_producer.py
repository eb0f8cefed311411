"""Sending many messages to Kafka with bounded memory, by whoever is a producer here."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from django.conf import settings

from hyperwatch.concurrency.backoff import Backoff
from realtime.kafka.admin import KafkaUnavailable, create_topics
from realtime.kafka.producer import KafkaProducer
from realtime.streams import TopicName

log = logging.getLogger(__name__)

MAX_IN_FLIGHT_MESSAGES = 20_000
MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
DELIVERY_TIMEOUT_SECONDS = 5.0


class NotAcknowledgedError(Exception):
    """Messages were sent and not acknowledged; the text says how many, and why."""


def topic_names() -> dict[str, str]:
    """What the settings call the contract's topics."""
    return {
        TopicName.TRANSACTIONS: settings.KAFKA_TOPIC_TRANSACTIONS,
        TopicName.COMPUTED_DATA: settings.KAFKA_TOPIC_COMPUTED_DATA,
    }


def wait_for_kafka(stop: Event) -> bool:
    """True once the topics are there, after growing pauses and one log line; False where `stop` is first."""
    backoff = Backoff.doubling(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while not stop.is_set():
        try:
            create_topics(timeout=2.0)
        except KafkaUnavailable as away:
            if backoff.failures == 0:
                log.warning("waiting for Kafka: %s", away)
            stop.wait(backoff.next())
        else:
            return True
    return False


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set; the second signal does what it always did."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(_number: int, _frame: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        restore()


class BoundedProducer:
    """A producer with a window: when so much is on its way, it waits until all of it has arrived or failed.

    So it waits while Kafka is away, and can still be told to stop.
    """

    def __init__(self, stop: Event) -> None:
        self._producer = KafkaProducer()
        self._stop = stop
        self._messages = self._bytes = 0
        self.sent = 0

    @property
    def acknowledged(self) -> int:
        return self._producer.acknowledged

    @property
    def failures(self) -> list[str]:
        return self._producer.failures

    @property
    def missing(self) -> int:
        """Sent and not acknowledged, whether failed or still on the way."""
        return self.sent - self.acknowledged

    def send(self, topic: str, key: str | bytes | None, value: bytes | None) -> None:
        if self._messages >= MAX_IN_FLIGHT_MESSAGES or self._bytes >= MAX_IN_FLIGHT_BYTES:
            self._wait()
        self._producer.send(topic, key, value)
        self.sent += 1
        self._messages += 1
        self._bytes += len(value or b"")

    def close(self, timeout: float) -> None:
        """Gives what is on its way at most `timeout` seconds; `missing` says what did not make it."""
        until = time.monotonic() + timeout
        # In slices: Python sees no signal while the client waits.
        while self._producer.flush(0.2) and time.monotonic() < until:
            pass

    def check(self) -> None:
        """Raises NotAcknowledgedError with the first reason known."""
        if self.missing:
            reason = self.failures[0] if self.failures else "Kafka did not answer in time"
            raise NotAcknowledgedError(f"{self.missing:,} of {self.sent:,} messages not acknowledged: {reason}")

    def _wait(self) -> None:
        waited = 0.0
        while self._producer.flush(0.2) and not self._stop.is_set():
            waited += 0.2
            if waited - 0.2 < DELIVERY_TIMEOUT_SECONDS <= waited:
                log.warning("Kafka acknowledges nothing; waiting for it")
        self._messages = self._bytes = 0
