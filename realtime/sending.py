"""Sending many messages to Kafka with bounded memory, by whoever is a producer here."""

import logging
from threading import Event

from django.conf import settings

from realtime.kafka import KafkaAway, Producer, create_topics
from realtime.streams import Topic

log = logging.getLogger(__name__)

WINDOW_MESSAGES = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
LONGEST_PAUSE = 15.0
PATIENCE = 5.0


def topic_names() -> dict[str, str]:
    """What the settings call the contract's topics."""
    return {
        Topic.TRANSACTIONS: settings.KAFKA_TOPIC_TRANSACTIONS,
        Topic.COMPUTED_DATA: settings.KAFKA_TOPIC_COMPUTED_DATA,
    }


def wait_for_kafka(stop: Event) -> bool:
    """True once the topics are there, after growing pauses and one log line; False where `stop` is first."""
    pause = 0.5
    while not stop.is_set():
        try:
            create_topics(timeout=2.0)
        except KafkaAway as away:
            if pause == 0.5:
                log.warning("waiting for Kafka: %s", away)
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return True
    return False


class Outbox:
    """A producer with a window: when so much is on its way, it waits until all of it has arrived or failed.

    So it waits while Kafka is away, and can still be told to stop.
    """

    def __init__(self, stop: Event) -> None:
        self._producer = Producer()
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
        if self._messages >= WINDOW_MESSAGES or self._bytes >= WINDOW_BYTES:
            self._wait()
        self._producer.send(topic, key, value)
        self.sent += 1
        self._messages += 1
        self._bytes += len(value or b"")

    def close(self, timeout: float) -> None:
        """Gives what is on its way at most `timeout` seconds; `missing` says what did not make it."""
        self._producer.flush(timeout)

    def _wait(self) -> None:
        waited = 0.0
        while self._producer.flush(0.2) and not self._stop.is_set():
            waited += 0.2
            if waited - 0.2 < PATIENCE <= waited:
                log.warning("Kafka acknowledges nothing; waiting for it")
        self._messages = self._bytes = 0
