"""Publishes stored events to the channel layer, which only notifies: hubs read what it loses from the database."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from hyperwatch import metrics
from hyperwatch.concurrency.backoff import CircuitBreaker
from realtime.delivery.channel_layer import channel_layer, group_name
from realtime.protocol.frames import make_event, pack
from realtime.storage.records import StoredRows

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_SECONDS = 1.0
# After a failure, batches are not published for this time, so that storing does not wait for the channel layer.
PUBLISH_SKIP_SECONDS = 2.0


class Publisher:
    """Publishes from any thread on one permanent event loop: the layer has a connection pool for each loop.

    loop    the loop to publish on; None: a new one. The in-memory layer delivers late to other loops than the
            server's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or _start_loop()
        self._breaker = CircuitBreaker(PUBLISH_SKIP_SECONDS)

    def __call__(self, stored: Sequence[StoredRows]) -> None:
        """Publishes the new rows, one message a stream (or chunk); never raises for an unavailable channel layer."""
        published = [new for new in stored if new.stream.frame_type is not None]
        if not published:
            return
        is_sent = not self._breaker.is_open and self._send(published)
        for new in published:
            (metrics.PUBLISH_EVENTS_TOTAL if is_sent else metrics.PUBLISH_FAILED_EVENTS_TOTAL).labels(
                new.stream.name
            ).inc(len(new.rows))

    def _send(self, stored: Sequence[StoredRows]) -> bool:
        sending = asyncio.run_coroutine_threadsafe(_group_send(stored), self._loop)
        try:
            sending.result(PUBLISH_TIMEOUT_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            sending.cancel()
            self._breaker.open()
            log.warning("the channel layer is unavailable (%s); hubs read new events from the database", error)
            return False
        return True


async def _group_send(stored: Sequence[StoredRows]) -> None:
    layer = channel_layer()
    for new in stored:
        for packed in pack([make_event(new.stream, *event) for event in zip(new.rows, new.facts, strict=True)]):
            await layer.group_send(group_name(new.stream.name), group_message(new, packed))


def group_message(new: StoredRows, packed: bytes) -> dict[str, Any]:
    """A message of the channel layer: packed events of one stream. The epoch identifies the installation."""
    return {
        "type": "stream.events",
        "stream": new.stream.name,
        "epoch": new.epoch,
        "events": packed,
        "sent_ms": new.sent_ms,
    }


def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="publisher", daemon=True).start()
    return loop
