"""Bulk producer with bounded memory, for the simulator and the replay of recordings."""

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
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 15.0
DELIVERY_TIMEOUT_SECONDS = 5.0


class NotAcknowledgedError(Exception):
    """Messages were sent and not acknowledged; the text gives their number and the first reason."""


def topic_names() -> dict[str, str]:
    """Maps the contract's topics to their names in the settings."""
    return {
        TopicName.TRANSACTIONS: settings.KAFKA_TOPIC_TRANSACTIONS,
        TopicName.COMPUTED_DATA: settings.KAFKA_TOPIC_COMPUTED_DATA,
    }


def wait_for_kafka(stop: Event) -> bool:
    """Creates the topics, with backoff and one log line while Kafka is unavailable; False if `stop` is set first."""
    backoff = Backoff.doubling(MIN_RETRY_SECONDS, MAX_RETRY_SECONDS)
    while not stop.is_set():
        try:
            create_topics(timeout=2.0)
        except KafkaUnavailable as error:
            if backoff.failures == 0:
                log.warning("waiting for Kafka: %s", error)
            stop.wait(backoff.next())
        else:
            return True
    return False


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Yields an event that SIGINT and SIGTERM set; a second signal runs the previous handler."""
    stop = Event()
    previous_handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)

    def set_stop(_number: int, _frame: object) -> None:
        stop.set()
        restore()

    for number in previous_handlers:
        signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        restore()


class BoundedProducer:
    """A producer with a bounded in-flight window: at the limit, `send` blocks until every message has a result.

    While Kafka is unavailable `send` blocks; setting `stop` ends the wait.
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
    def unacknowledged(self) -> int:
        """The number of sent messages that failed or are still in flight."""
        return self.sent - self.acknowledged

    def send(self, topic: str, key: str | bytes | None, value: bytes | None) -> None:
        if self._messages >= MAX_IN_FLIGHT_MESSAGES or self._bytes >= MAX_IN_FLIGHT_BYTES:
            self._wait()
        self._producer.send(topic, key, value)
        self.sent += 1
        self._messages += 1
        self._bytes += len(value or b"")

    def close(self, timeout: float) -> None:
        """Flushes for at most `timeout` seconds; `unacknowledged` is the number of undelivered messages."""
        deadline = time.monotonic() + timeout
        # Short flushes: Python handles no signal during a call into librdkafka.
        while self._producer.flush(0.2) and time.monotonic() < deadline:
            pass

    def check(self) -> None:
        """Raises NotAcknowledgedError with the first known reason."""
        if self.unacknowledged:
            counts = f"{self.unacknowledged:,} of {self.sent:,} messages not acknowledged"
            raise NotAcknowledgedError(f"{counts}: {self._producer.problem}")

    def _wait(self) -> None:
        waited = 0.0
        while self._producer.flush(0.2) and not self._stop.is_set():
            waited += 0.2
            if waited - 0.2 < DELIVERY_TIMEOUT_SECONDS <= waited:
                log.warning("Kafka acknowledges no messages (%s); waiting for it", self._producer.problem)
        self._messages = self._bytes = 0
