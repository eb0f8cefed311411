"""The market, live: its clock is the wall's, its messages go to Kafka."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from threading import Event

from realtime.kafka.bulk_producer import BoundedProducer, topic_names, wait_for_kafka
from realtime.sources.simulator.message_builder import OutgoingMessage
from realtime.sources.simulator.simulation import FASTEST, Market
from realtime.streams import watch_wallets


def limited(
    messages: Iterator[OutgoingMessage], duration: float | None, count: int | None = None
) -> Iterator[OutgoingMessage]:
    """The messages of the first `duration` seconds of the market's time, at most `count` of them."""
    if duration is not None:
        messages = takewhile(lambda message: message.time_us < duration * 1_000_000, messages)
    return islice(messages, count)


def live(
    market: Market, stop: Event, *, rate: float, duration: float | None = None, count: int | None = None
) -> Iterator[OutgoingMessage]:
    """Each message when as much real time has passed as market time, so that none comes from the future; ends
    when `stop` is set.

    At rate 0 the market's clock falls behind: there `duration` is real time.
    """
    began = time.monotonic()
    for message in limited(market.messages(rate or FASTEST), duration, count):
        passed = time.monotonic() - began
        ahead = message.time_us / 1_000_000 - passed
        if ahead > 0:
            stop.wait(ahead)
        if stop.is_set() or (not rate and duration is not None and passed >= duration):
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
    """Sends `rate` messages a second (0: as fast as it goes) until `stop` is set or `duration` seconds of the
    market's time are over. Waits while Kafka is away."""
    if not wait_for_kafka(stop):
        return
    market = Market(seed=seed, start=start or datetime.now(UTC), coins=coins, wallets=wallets)
    if watch:
        watch_wallets(market.whales)
    outbox, names = BoundedProducer(stop), topic_names()
    for message in live(market, stop, rate=rate, duration=duration):
        outbox.send(names[message.topic], message.key, message.value)
    outbox.close(2.0)
