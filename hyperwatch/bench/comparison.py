"""Publishes messages to a server with clients, and measures the CPU time until all clients have them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import BenchServer, PublishedMessage


class FanoutMode(NamedTuple):
    """`events` a message, at most `window` messages in flight; `deliveries` are the target of a run."""

    name: str
    events: int
    window: int
    deliveries: int


class ComparisonResult(msgspec.Struct, frozen=True, kw_only=True):
    """`complete` clients received exactly the published bytes; `delivered` are events times those clients."""

    server: str
    clients: int
    mode: str
    events: int
    complete: int
    delivered: int
    seconds: float
    cpu_seconds: float
    closed: dict[str, int]

    @property
    def cpu_us(self) -> float:
        """Per event and client."""
        return self.cpu_seconds / (self.events * self.clients) * 1e6

    @property
    def events_per_second(self) -> float:
        return self.delivered / self.seconds


class ServerUnderLoad:
    def __init__(
        self, server: BenchServer, clients: WebSocketPool, number: int, layer: RedisPubSubChannelLayer
    ) -> None:
        self._server = server
        self._clients = clients
        self._number = number
        self._layer = layer
        # Seqs continue from run to run, as those of a stream.
        self._last = 0

    async def run(self, mode: FanoutMode, payloads: EventPayloads, scale: float = 1.0) -> ComparisonResult:
        messages = list(self._messages(mode, payloads, scale))
        process = self._server.process
        await self._clients.expect(step=len(messages[0][1]))
        cpu_before, started = process.cpu_seconds, time.monotonic()
        # A lost message ends in a timeout; the status then shows the clients that are complete.
        with suppress(TimeoutError):
            await self._publish(messages, mode.window)
        seconds, cpu = time.monotonic() - started, process.cpu_seconds - cpu_before
        complete, closed = await self._compare(messages)
        events = len(messages) * mode.events
        return ComparisonResult(
            server=self._server.name,
            clients=self._number,
            mode=mode.name,
            events=events,
            complete=complete,
            delivered=events * complete,
            seconds=seconds,
            cpu_seconds=cpu,
            closed=closed,
        )

    def _messages(self, mode: FanoutMode, payloads: EventPayloads, scale: float) -> Iterator[PublishedMessage]:
        for _ in range(max(2, int(mode.deliveries * scale / self._number / mode.events))):
            first = self._last + 1
            self._last += mode.events
            yield self._server.message(payloads, range(first, first + mode.events))

    async def _publish(self, messages: Sequence[PublishedMessage], window: int) -> None:
        for number, (message, _) in enumerate(messages):
            await self._clients.wait_for(number + 1 - window)
            await self._layer.group_send(self._server.group, message)
        await self._clients.wait_for(len(messages))

    async def _compare(self, messages: Sequence[PublishedMessage]) -> tuple[int, dict[str, int]]:
        status = await self._clients.request("status")
        is_equal = self._clients.has_received(status, b"".join(frames for _, frames in messages))
        return status["whole"] if is_equal else 0, status["closed"]
