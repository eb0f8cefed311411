import time
from datetime import UTC, datetime
from itertools import takewhile
from threading import Event, Thread
from typing import Any

from hyperwatch.tests.services.kafka import KafkaBroker
from realtime.kafka import Consumer
from realtime.market import Market, run_market
from realtime.sending import topic_names

START = datetime(2026, 1, 10, 10, 30, tzinfo=UTC)
SMALL: dict[str, Any] = {"seed": 11, "coins": 3, "wallets": 20}


def read(count: int, seconds: float = 20.0) -> list[tuple[str, bytes | None, bytes | None]]:
    """What lies on the topics, once `count` messages do."""
    consumer, until = Consumer(), time.monotonic() + seconds
    found: list[tuple[str, bytes | None, bytes | None]] = []
    try:
        while len(found) < count and time.monotonic() < until:
            found += [(m.topic, m.key, m.value) for m in consumer.read(1_000, 0.2)]
        return found + [(m.topic, m.key, m.value) for m in consumer.read(1_000, 0.3)]
    finally:
        consumer.close()


def expected(duration: float, rate: float) -> list[tuple[str, bytes, bytes]]:
    messages = Market(start=START, **SMALL).messages(rate)
    until = takewhile(lambda message: message.time_us < duration * 1_000_000, messages)
    return [(message.topic.value, message.key.encode(), message.value) for message in until]


def in_thread(stop: Event, **kwargs: Any) -> Thread:
    thread = Thread(target=run_market, args=(stop,), kwargs={"watch": False, **SMALL, **kwargs})
    thread.start()
    return thread


def test_nothing_is_lost_or_repeated_while_kafka_is_frozen(apache_kafka: KafkaBroker) -> None:
    thread = in_thread(Event(), rate=200, start=START, duration=3.0)
    time.sleep(1.0)
    apache_kafka.pause()
    time.sleep(1.0)
    apache_kafka.resume()
    thread.join(15)
    names = topic_names()
    wanted = [(names[topic], key, value) for topic, key, value in expected(3.0, 200)]
    assert sorted(read(len(wanted))) == sorted(wanted)
