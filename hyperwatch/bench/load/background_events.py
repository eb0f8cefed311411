"""A stream of single events at a steady pace, for as long as something else is measured."""

import asyncio
import time

from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.processes.server_variants import Server


class BackgroundEvents:
    """`told_at` is when each event of this run was published; the numbers go on from run to run."""

    def __init__(self, server: Server, content: EventPayloads, layer: RedisPubSubChannelLayer, rate: float) -> None:
        self._server = server
        self._content = content
        self._layer = layer
        self._rate = rate
        self._last = 0
        self.told_at: list[float] = []
        self.wire = b""

    async def flow(self, stop: asyncio.Event) -> None:
        self.told_at, wire = [], []
        due = time.monotonic()
        while not stop.is_set():
            self._last += 1
            message, on_wire = self._server.message(self._content, [self._last])
            wire.append(on_wire)
            self.told_at.append(time.monotonic())
            await self._layer.group_send(self._server.group, message)
            due += 1 / self._rate
            await asyncio.sleep(due - time.monotonic())
        self.wire = b"".join(wire)
