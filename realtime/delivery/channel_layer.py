"""Access to the channel layer: one group for each stream, one member for each process."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from django.conf import settings
from redis.exceptions import RedisError

from hyperwatch import metrics
from hyperwatch.concurrency.backoff import Backoff

log = logging.getLogger(__name__)

# Timeout for leaving the groups when Redis does not respond.
LEAVE_TIMEOUT_SECONDS = 1.0


def channel_layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no default")
    return layer


def group_name(stream: str) -> str:
    """The group of a stream. Groups of coins are impossible: `@107` is no valid group name."""
    return f"stream.{stream}"


class GroupSubscription:
    """Receives the messages of some streams' groups and reconnects after errors of the channel layer.

    `on_message` is called for each message; `subscribed` is set once all groups were joined.
    """

    def __init__(self, streams: Iterable[str], on_message: Callable[[dict[str, Any]], None]) -> None:
        self._streams = list(streams)
        self._on_message = on_message
        self._layer = channel_layer()
        self._backoff = Backoff((settings.STREAM_SYNC_INTERVAL_SECONDS,))
        self._receiving: asyncio.Task[None] | None = None
        self.subscribed = asyncio.Event()

    def resubscribe(self) -> None:
        """Joins the groups with a new channel: Redis may have lost the old membership without an error."""
        self.close()
        self.subscribed.clear()
        self._receiving = asyncio.ensure_future(self._run())

    def close(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._receive(await self._layer.new_channel())
            except (RedisError, OSError) as error:
                log.warning("the channel layer is unavailable (%s); new events are read from the database", error)
                await asyncio.sleep(self._backoff.next())

    async def _receive(self, channel: str) -> None:
        try:
            for name in self._streams:
                await self._layer.group_add(group_name(name), channel)
            self.subscribed.set()
            while True:
                try:
                    message = await self._layer.receive(channel)
                except (ValueError, TypeError) as error:
                    # msgpack's errors: another program or another version publishes in these groups.
                    metrics.HUB_DISCARDED_MESSAGES_TOTAL.labels("undecodable").inc()
                    log.warning("a message of the channel layer cannot be decoded: %s", error)
                    continue
                self._on_message(message)
        finally:
            await self._leave(channel)

    async def _leave(self, channel: str) -> None:
        """Leaves the groups: the in-memory layer would keep adding to the queue of a channel without a reader."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_SECONDS):
                for name in self._streams:
                    await self._layer.group_discard(group_name(name), channel)
