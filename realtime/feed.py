"""One stream as a process follows it: where it is, what came too early, who listens, what was sent last."""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from realtime.frames import Event
from realtime.heads import Place
from realtime.streams import Stream
from realtime.subscriptions import Filter


class Listener(Protocol):
    """A client, as the hub sees it."""

    async def push(self, frames: list[str]) -> None:
        """Sends finished frames, in order. Keeps its troubles to itself."""

    async def go_away(self) -> None:
        """Closes the connection; the client is to come anew."""


class Ring:
    """The newest events, bounded in bytes; the last one stays however large it is."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._events: deque[Event] = deque()
        self.bytes = 0

    def append(self, event: Event) -> None:
        self._events.append(event)
        self.bytes += len(event.frame)
        while self.bytes > self._most_bytes and len(self._events) > 1:
            self.bytes -= len(self._events.popleft().frame)


class Feed:
    """Puts the events of one stream into their order and hands each on once."""

    def __init__(self, stream: Stream, place: Place, newest: dict[str, datetime], ring_bytes: int) -> None:
        self.stream = stream
        self.head, self.floor = place
        self.ring = Ring(ring_bytes)
        self.lanes: dict[Filter, set[Listener]] = {}
        self._early: dict[int, Event] = {}
        self._newest = newest
        # What was heard and what was read must not overtake each other on the way to a client.
        self._turn = asyncio.Lock()

    @property
    def has_hole(self) -> bool:
        return bool(self._early)

    async def offer(self, events: Iterable[Event]) -> int:
        """Takes events in any order, also again, and sends those whose turn it is; returns how many."""
        async with self._turn:
            due = self._due(events)
            await self._send(due)
        return len(due)

    def _due(self, events: Iterable[Event]) -> list[Event]:
        for event in events:
            if event.seq > self.head:
                self._early[event.seq] = event
        due = []
        while self.head + 1 in self._early:
            self.head += 1
            event = self._early.pop(self.head)
            if self._counts(event):
                self.ring.append(event)
                due.append(event)
        return due

    def join(self, wanted: Filter, listener: Listener) -> None:
        self.lanes.setdefault(wanted, set()).add(listener)

    def leave(self, wanted: Filter, listener: Listener) -> None:
        lane = self.lanes.get(wanted, set())
        lane.discard(listener)
        if not lane:
            self.lanes.pop(wanted, None)

    async def _send(self, events: list[Event]) -> None:
        """To whoever wants them; filters once for all who want the same."""
        texts = [event.frame.decode() for event in events]
        for wanted, lane in list(self.lanes.items()):
            frames = [text for text, event in zip(texts, events, strict=True) if wanted.wants(event.fact)]
            if frames:
                for listener in list(lane):
                    await listener.push(frames)

    def _counts(self, event: Event) -> bool:
        """Of a state only what is newer than the coin's newest is sent; a late one is stored and not sent."""
        if not self.stream.is_state:
            return True
        known = self._newest.get(event.fact.coin)
        if known is not None and event.fact.time <= known:
            return False
        self._newest[event.fact.coin] = event.fact.time
        return True
