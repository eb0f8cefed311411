"""Who follows a stream, and what is written to them: made once for all who want the same."""

from collections.abc import Awaitable, Sequence
from functools import cached_property
from typing import Protocol

from realtime.frames import Event, batch_frame, finished
from realtime.protocol import CloseCode
from realtime.streams import Stream
from realtime.subscriptions import Filter


class Chunk:
    """Finished frames that are due together."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames

    @cached_property
    def wire(self) -> bytes:
        """The frames as they go over the wire: the same bytes for every client, written at once."""
        return b"".join(map(finished, self.frames))

    @cached_property
    def texts(self) -> list[str]:
        return [frame.decode() for frame in self.frames]


class Client(Protocol):
    """A connection, as the hub sees it."""

    @property
    def has_room(self) -> bool:
        """Whether what was written has left, so that more may be."""

    def push(self, chunk: Chunk) -> Awaitable[None] | None:
        """Writes finished frames, in order; what it returns must be awaited. Keeps its troubles to itself."""

    async def go_away(self, code: CloseCode) -> None:
        """Closes the connection."""


class Follower:
    """One client's place in one stream: everything up to `seq` was sent to it, or is not for it."""

    def __init__(self, client: Client, lane: "Lane", seq: int) -> None:
        self.client = client
        self.lane = lane
        self.seq = seq
        # It gets what is new as it comes; otherwise it is catching up from `seq`.
        self.is_current = False
        # It begins with a snapshot or a `since`: what the feed no longer keeps is read for it.
        self.is_resuming = False
        self.is_gone = False
        # Something is being sent to it already; at first, what it begins with.
        self.is_busy = True

    @property
    def is_behind(self) -> bool:
        """It waits for room, and nothing is read for it from elsewhere."""
        return not (self.is_current or self.is_busy or self.is_resuming)

    async def send(self, events: Sequence[Event], upto: int) -> None:
        await self.write(self.lane.chunk(events), upto)

    async def write(self, chunk: Chunk | None, upto: int) -> None:
        self.seq = upto
        if chunk is not None and (rest := self.client.push(chunk)) is not None:
            await rest


class Lane:
    """Those who want the same of a stream in the same form: it is chosen and joined for them once."""

    def __init__(self, stream: Stream, wanted: Filter, is_batch: bool) -> None:
        self.wanted = wanted
        self.is_batch = is_batch
        self._stream = stream
        self._followers: set[Follower] = set()

    def __len__(self) -> int:
        return len(self._followers)

    def join(self, client: Client, seq: int) -> Follower:
        follower = Follower(client, self, seq)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        follower.is_gone = True
        self._followers.discard(follower)

    def chunk(self, events: Sequence[Event]) -> Chunk | None:
        """What of `events` is wanted, in the lane's form; None where nothing is."""
        frames = [event.frame for event in events if self.wanted.wants(event.fact)]
        if not frames:
            return None
        return Chunk([batch_frame(self._stream.name, frames)] if self.is_batch else frames)

    async def send(self, events: Sequence[Event], head: int) -> None:
        """To all who are current; one without room stays where it is and catches up when there is."""
        await self.write(self.chunk(events), head)

    async def write(self, chunk: Chunk | None, head: int) -> None:
        for follower in list(self._followers):
            if not follower.is_current or follower.seq >= head:
                continue
            if follower.client.has_room:
                await follower.write(chunk, head)
            else:
                follower.is_current = False

    async def part_from_behind(self, oldest: int) -> None:
        """Closes those who have fallen further behind than is kept. They come back with `since`."""
        for follower in [f for f in self._followers if f.is_behind and f.seq < oldest]:
            self.leave(follower)
            await follower.client.go_away(CloseCode.TOO_SLOW)
