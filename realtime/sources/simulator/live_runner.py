"""Runs the simulator by the wall clock and sends its messages to Kafka."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from threading import Event

from realtime.kafka.bulk_producer import BoundedProducer, topic_names, wait_for_kafka
from realtime.sources.simulator.message_builder import OutgoingMessage
from realtime.sources.simulator.simulation import UNLIMITED_RATE, MarketSimulator
from realtime.streams import watch_wallets


def limited(
    messages: Iterator[OutgoingMessage], duration: float | None, count: int | None = None
) -> Iterator[OutgoingMessage]:
    """The messages of the first `duration` seconds of simulated time, at most `count`."""
    if duration is not None:
        messages = takewhile(lambda message: message.time_us < duration * 1_000_000, messages)
    return islice(messages, count)


def live(
    simulator: MarketSimulator, stop: Event, *, rate: float, duration: float | None = None, count: int | None = None
) -> Iterator[OutgoingMessage]:
    """Yields each message once its simulated time has elapsed in real time; ends when `stop` is set.

    No message has a timestamp in the future. At rate 0 simulated time lags behind real time: `duration` is then
    real time.
    """
    started_at = time.monotonic()
    for message in limited(simulator.messages(rate or UNLIMITED_RATE), duration, count):
        elapsed = time.monotonic() - started_at
        ahead = message.time_us / 1_000_000 - elapsed
        if ahead > 0:
            stop.wait(ahead)
        if stop.is_set() or (not rate and duration is not None and elapsed >= duration):
            return
        yield message


def run_simulator(
    stop: Event,
    *,
    rate: float,
    seed: int,
    coins: int,
    wallets: int,
    start: datetime | None = None,
    duration: float | None = None,
    watch: bool = True,
) -> None:
    """Sends `rate` messages a second (0: unlimited) until `stop` is set or `duration` has elapsed.

    `duration` is in seconds of simulated time. Waits while Kafka is unavailable.
    """
    if not wait_for_kafka(stop):
        return
    simulator = MarketSimulator(seed=seed, start=start or datetime.now(UTC), coins=coins, wallets=wallets)
    if watch:
        watch_wallets(simulator.whales)
    producer, names = BoundedProducer(stop), topic_names()
    for message in live(simulator, stop, rate=rate, duration=duration):
        producer.send(names[message.topic], message.key, message.value)
    producer.close(2.0)
