"""A server and its clients in a run: messages are published, and what it costs until all clients have them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
from channels_redis.pubsub import RedisPubSubChannelLayer

from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import Message, Server


class Mode(NamedTuple):
    """`events` to a message, at most `window` messages on their way; `deliveries` make a run long enough."""

    name: str
    events: int
    window: int
    deliveries: int


class ComparisonResult(msgspec.Struct, frozen=True, kw_only=True):
    """`complete` are the clients that got every byte in its place; `delivered` are events times those clients."""

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
        """For an event and a client."""
        return self.cpu_seconds / (self.events * self.clients) * 1e6

    @property
    def events_a_second(self) -> float:
        return self.delivered / self.seconds


class Contender:
    def __init__(self, server: Server, clients: WebSocketPool, number: int, layer: RedisPubSubChannelLayer) -> None:
        self._server = server
        self._clients = clients
        self._number = number
        self._layer = layer
        # The hub's numbers go on from run to run, as a stream's do.
        self._last = 0
        # When each message of the last run was published.
        self.told_at: list[float] = []

    async def run(self, mode: Mode, content: EventPayloads, share: float = 1.0, timed: int = 0) -> ComparisonResult:
        messages = list(self._messages(mode, content, share))
        process = self._server.process
        await self._clients.expect(step=len(messages[0][1]), timed=timed)
        cpu_before, began = process.cpu_seconds, time.monotonic()
        # What is lost never comes; then the clients say how far they got.
        with suppress(TimeoutError):
            await self._publish(messages, mode.window)
        seconds, cpu = time.monotonic() - began, process.cpu_seconds - cpu_before
        complete, closed = await self._outcome(messages)
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

    def _messages(self, mode: Mode, content: EventPayloads, share: float) -> Iterator[Message]:
        for _ in range(max(2, int(mode.deliveries * share / self._number / mode.events))):
            first = self._last + 1
            self._last += mode.events
            yield self._server.message(content, range(first, first + mode.events))

    async def _publish(self, messages: Sequence[Message], window: int) -> None:
        self.told_at = []
        for number, (message, _) in enumerate(messages):
            await self._clients.wait_for(number + 1 - window)
            self.told_at.append(time.monotonic())
            await self._layer.group_send(self._server.group, message)
        await self._clients.wait_for(len(messages))

    async def _outcome(self, messages: Sequence[Message]) -> tuple[int, dict[str, int]]:
        told = await self._clients.ask("tell")
        is_right = self._clients.got(told, b"".join(wire for _, wire in messages))
        return told["whole"] if is_right else 0, told["closed"]
