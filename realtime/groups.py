"""The channel layer as it is used here: one group for each stream, one member for each process."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from channels.layers import BaseChannelLayer, get_channel_layer
from django.conf import settings
from redis.exceptions import RedisError

from hyperwatch.concurrency.backoff import Backoff

log = logging.getLogger(__name__)

# A Redis that does not answer is not waited for when it is left.
PATIENCE = 1.0


def channel_layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no default")
    return layer


def group_of(stream: str) -> str:
    """The group of a stream: its name, never a coin's (`@107` is no group name)."""
    return f"stream.{stream}"


class Membership:
    """Hears what is published to some streams' groups, as long as the layer lets it; `hear` takes each message."""

    def __init__(self, streams: Iterable[str], hear: Callable[[dict[str, Any]], None]) -> None:
        self._streams = list(streams)
        self._hear = hear
        self._layer = channel_layer()
        self._backoff = Backoff((settings.STREAM_HEADS_SECONDS,))
        self._listening: asyncio.Task[None] | None = None
        self.joined = asyncio.Event()

    def join_anew(self) -> None:
        """By a new channel: an old membership may have been lost without a word."""
        self.end()
        self.joined.clear()
        self._listening = asyncio.ensure_future(self._listen())

    def end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_on(await self._layer.new_channel())
            except (RedisError, OSError) as error:
                log.warning("the channel layer is away (%s); new facts come from the database meanwhile", error)
                await asyncio.sleep(self._backoff.next())

    async def _listen_on(self, channel: str) -> None:
        try:
            for name in self._streams:
                await self._layer.group_add(group_of(name), channel)
            self.joined.set()
            while True:
                self._hear(await self._layer.receive(channel))
        finally:
            await self._leave(channel)

    async def _leave(self, channel: str) -> None:
        """Or the in-memory layer would fill the queue of a channel that nobody reads."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                for name in self._streams:
                    await self._layer.group_discard(group_of(name), channel)
