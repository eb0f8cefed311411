"""Publishes single events at a constant rate during another measurement."""

import asyncio
import time

from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.processes.server_variants import BenchServer


class BackgroundEvents:
    """`published_at` and `wire_bytes` are those of the last run; seqs continue from run to run."""

    def __init__(
        self, server: BenchServer, payloads: EventPayloads, layer: RedisPubSubChannelLayer, rate: float
    ) -> None:
        self._server = server
        self._payloads = payloads
        self._layer = layer
        self._rate = rate
        self._last = 0
        self.published_at: list[float] = []
        self.wire_bytes = b""

    async def publish_until(self, stop: asyncio.Event) -> None:
        self.published_at, frames = [], []
        next_send = time.monotonic()
        while not stop.is_set():
            self._last += 1
            message, message_frames = self._server.message(self._payloads, [self._last])
            frames.append(message_frames)
            self.published_at.append(time.monotonic())
            await self._layer.group_send(self._server.group, message)
            next_send += 1 / self._rate
            await asyncio.sleep(next_send - time.monotonic())
        self.wire_bytes = b"".join(frames)
