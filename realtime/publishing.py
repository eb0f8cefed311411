"""Tells the hubs what was stored. The channel layer is a doorbell: it may lose a ring, and nothing is lost."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

from prometheus_client import Counter
from redis.exceptions import RedisError

from hyperwatch.concurrency.backoff import CircuitBreaker
from realtime.frames import make_event, pack
from realtime.groups import channel_layer, group_of
from realtime.store import Stored

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_SECONDS = 1.0
PUBLISH_SKIP_SECONDS = 2.0

PUBLISHED = Counter("hyperwatch_published", "Facts told to the channel layer", ["stream"])
UNTOLD = Counter("hyperwatch_untold", "Facts that the channel layer did not take; the hubs read them", ["stream"])


class Publisher:
    """Publishes from a thread on an event loop that stays: the layer keeps its connections for each loop.

    loop    the loop to publish on; without one it runs its own. The in-memory layer delivers late to a loop
            other than the server's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or _running_loop()
        self._breaker = CircuitBreaker(PUBLISH_SKIP_SECONDS)

    def __call__(self, stored: Sequence[Stored]) -> None:
        """Tells what is new, one message a stream (or chunk); where the layer is away storing goes on."""
        told = [new for new in stored if new.stream.frame_type is not None]
        if not told:
            return
        if self._breaker.is_open or not self._send(told):
            for new in told:
                UNTOLD.labels(new.stream.name).inc(len(new.rows))
            return
        for new in told:
            PUBLISHED.labels(new.stream.name).inc(len(new.rows))

    def _send(self, stored: Sequence[Stored]) -> bool:
        sending = asyncio.run_coroutine_threadsafe(_group_send(stored), self._loop)
        try:
            sending.result(PUBLISH_TIMEOUT_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            sending.cancel()
            self._breaker.open()
            log.warning("the channel layer is away (%s); the hubs read what is new from the database", error)
            return False
        return True


async def _group_send(stored: Sequence[Stored]) -> None:
    layer = channel_layer()
    for new in stored:
        for packed in pack([make_event(new.stream, *event) for event in zip(new.rows, new.facts, strict=True)]):
            await layer.group_send(group_of(new.stream.name), told(new, packed))


def told(new: Stored, packed: bytes) -> dict[str, Any]:
    """A message of the channel layer."""
    return {"type": "stream.events", "stream": new.stream.name, "events": packed, "sent_ms": new.sent_ms}


def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="publisher", daemon=True).start()
    return loop
