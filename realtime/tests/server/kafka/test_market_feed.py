import time
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import msgspec
import pytest
from pytest_django.fixtures import Settings

from hyperwatch.harness.kafka import MockKafka
from realtime.kafka.consumer import KafkaConsumer
from realtime.sources.simulator import MarketSimulator, run_simulator
from realtime.sources.simulator.live_runner import live

START = datetime(2026, 1, 10, 10, 30, tzinfo=UTC)
SMALL: dict[str, Any] = {"seed": 11, "coins": 3, "wallets": 20}


def read(count: int, seconds: float = 20.0) -> list[tuple[str, bytes | None, bytes | None]]:
    """What lies on the topics, once `count` messages do."""
    consumer, until = KafkaConsumer(), time.monotonic() + seconds
    found: list[tuple[str, bytes | None, bytes | None]] = []
    try:
        while len(found) < count and time.monotonic() < until:
            found += [(m.topic, m.key, m.value) for m in consumer.read(1_000, 0.2)]
        return found + [(m.topic, m.key, m.value) for m in consumer.read(1_000, 0.3)]
    finally:
        consumer.close()


def expected(duration: float, rate: float) -> list[tuple[str, bytes, bytes]]:
    messages = MarketSimulator(start=START, **SMALL).messages(rate)
    until = takewhile(lambda message: message.time_us < duration * 1_000_000, messages)
    return [(message.topic.value, message.key.encode(), message.value) for message in until]


def in_thread(stop: Event, **kwargs: Any) -> Thread:
    thread = Thread(target=run_simulator, args=(stop,), kwargs={"watch": False, **SMALL, **kwargs})
    thread.start()
    return thread


def test_topics_contain_exactly_the_simulated_messages(mock_kafka: MockKafka) -> None:
    run_simulator(Event(), rate=300, start=START, duration=1.5, watch=False, **SMALL)
    wanted = expected(1.5, 300)
    assert len(wanted) > 300 and sorted(read(len(wanted))) == sorted(wanted)


def test_the_topics_are_those_of_the_settings(mock_kafka: MockKafka, tmp_path: Path, settings: Settings) -> None:
    settings.KAFKA_TOPIC_TRANSACTIONS, settings.KAFKA_TOPIC_COMPUTED_DATA = "mine.t", "mine.c"
    renamed = MockKafka(tmp_path / "renamed", partitions=1)
    settings.KAFKA_BOOTSTRAP_SERVERS = renamed.start()
    try:
        run_simulator(Event(), rate=300, start=START, duration=0.5, watch=False, **SMALL)
        wanted = expected(0.5, 300)
        assert {topic for topic, _key, _value in read(len(wanted))} == {"mine.t", "mine.c"}
    finally:
        renamed.stop()


def test_feed_keeps_wall_clock_and_never_runs_ahead() -> None:
    start = datetime.now(UTC)
    for message in live(MarketSimulator(start=start, **SMALL), Event(), rate=500, duration=1.0):
        value = msgspec.json.decode(message.value)
        answer = datetime.fromisoformat(value.get("block_timestamp") or value["timestamp"])
        assert answer <= datetime.now(UTC)
    assert timedelta(seconds=0.9) < datetime.now(UTC) - start < timedelta(seconds=10)


def test_fastest_feed_never_runs_ahead() -> None:
    market = MarketSimulator(start=START, **SMALL)
    began = time.monotonic()
    for message in islice(live(market, Event(), rate=0), 5_000):
        assert message.time_us <= (time.monotonic() - began) * 1_000_000


def test_fastest_feed_duration_is_real_time() -> None:
    began = time.monotonic()
    messages = list(live(MarketSimulator(start=START, **SMALL), Event(), rate=0, duration=0.5))
    assert 0.4 < time.monotonic() - began < 10 and len(messages) > 500


def test_it_ends_at_once_when_told_to() -> None:
    stop = Event()
    Timer(0.3, stop.set).start()
    began = time.monotonic()
    assert list(live(MarketSimulator(start=START, **SMALL), stop, rate=0.1))
    assert time.monotonic() - began < 10


def test_feed_waiting_for_kafka_can_be_stopped(settings: Settings) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = ""
    stop = Event()
    thread = in_thread(stop, rate=50)
    time.sleep(0.2)
    assert thread.is_alive()
    stop.set()
    thread.join(3)
    assert not thread.is_alive()


def test_it_begins_once_kafka_has_come(tmp_path: Path, settings: Settings) -> None:
    broker = MockKafka(tmp_path)
    settings.KAFKA_BOOTSTRAP_SERVERS = ""
    thread = in_thread(Event(), rate=200, duration=0.5)
    time.sleep(0.1)
    settings.KAFKA_BOOTSTRAP_SERVERS = broker.start()
    try:
        thread.join(15)
        assert not thread.is_alive() and len(read(50)) >= 50
    finally:
        broker.stop()


def test_nothing_is_lost_while_kafka_is_away(mock_kafka: MockKafka) -> None:
    thread = in_thread(Event(), rate=200, start=START, duration=3.0)
    time.sleep(1.0)
    mock_kafka.disconnect()
    time.sleep(1.0)
    mock_kafka.reconnect()
    thread.join(15)
    wanted = expected(3.0, 200)
    # The mock keeps no producers' sequences: what it stored and could not acknowledge any more comes again.
    assert set(read(len(wanted))) == set(wanted)


@pytest.mark.django_db
def test_it_has_its_whales_watched(mock_kafka: MockKafka) -> None:
    from whales.models import WhaleWatch

    for _twice in range(2):
        run_simulator(Event(), rate=100, start=START, duration=0.1, **SMALL)
    watched = WhaleWatch.objects.values_list("wallet_address", "alias")
    assert set(watched) == set(MarketSimulator(start=START, **SMALL).whales) and len(watched) == 5
