"""Who follows a stream, and what is written to them: made once for all who want the same."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from hyperwatch import metrics
from realtime.frames import Event, batch_frame, deflated, finished
from realtime.protocol import CloseCode
from realtime.streams import Stream
from realtime.subscriptions import Filter


class Form(NamedTuple):
    """How a client takes its frames: joined into batches, compressed."""

    is_batch: bool = False
    is_compressed: bool = False


class Chunk:
    """Finished frames that are due together: the same bytes for every client that takes them in this form."""

    def __init__(self, frames: Sequence[bytes], *, is_compressed: bool = False) -> None:
        self.frames = frames
        self.wire = b"".join(map(deflated if is_compressed else finished, frames))

    @cached_property
    def texts(self) -> list[str]:
        return [frame.decode() for frame in self.frames]


class Outlet(Protocol):
    """A connection's way out. It takes everything; to give it more while it has no room costs memory.

    `way` names it in the metrics; `on_room` is called when what was written has left.
    """

    on_room: Callable[[], None] | None

    @property
    def way(self) -> str: ...

    @property
    def has_room(self) -> bool: ...

    @property
    def is_compressed(self) -> bool: ...

    def push(self, chunk: Chunk) -> None:
        """Writes finished frames, in order."""


class Client(Protocol):
    """A connection, as the hub sees it."""

    outlet: Outlet

    def go_away(self, code: CloseCode) -> None:
        """Closes the connection, behind what was pushed."""


class Follower:
    """One client's place in one stream. Who is current has everything up to the head; another has it up to `seq`."""

    __slots__ = ("client", "is_busy", "is_current", "is_gone", "is_resuming", "lane", "outlet", "seq")

    def __init__(self, client: Client, lane: "Lane", seq: int) -> None:
        self.client = client
        self.outlet = client.outlet
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

    def write(self, frames: Sequence[bytes], upto: int) -> None:
        """For this one alone, in its form."""
        self.push(self.lane.chunk_of(frames), upto)

    def push(self, chunk: Chunk | None, upto: int) -> None:
        self.seq = upto
        if chunk is not None:
            self.outlet.push(chunk)
            metrics.count_sent(len(chunk.frames), len(chunk.wire))


# The events that it is of, by the first, the last and their number, and the chunk.
Page = tuple[tuple[int, int, int], Chunk | None]
NO_PAGE: Page = ((0, 0, 0), None)


class Lane:
    """Those who want the same of a stream in the same form: it is chosen and joined for them once."""

    def __init__(self, stream: Stream, wanted: Filter, form: Form) -> None:
        self.wanted = wanted
        self.form = form
        self._wants_all = wanted == Filter()
        self._stream = stream
        self._current: set[Follower] = set()
        self._others: set[Follower] = set()
        # The last page that was made for one who catches up: others are likely to be at the same place.
        self._page = NO_PAGE

    def __len__(self) -> int:
        return len(self._current) + len(self._others)

    def join(self, client: Client, seq: int) -> Follower:
        follower = Follower(client, self, seq)
        self._others.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        follower.is_gone = True
        self._current.discard(follower)
        self._others.discard(follower)
        self._forget_page()

    def catch(self, follower: Follower) -> None:
        """It has everything: from here on it gets what is new as it comes."""
        follower.is_current, follower.is_resuming = True, False
        self._others.discard(follower)
        self._current.add(follower)
        self._forget_page()

    def send(self, events: Sequence[Event], before: int) -> None:
        """To all who are current, which means at `before`; one without room stays there and catches up."""
        if self._current and (chunk := self.chunk(events)) is not None:
            self.write(chunk, before)

    def write(self, chunk: Chunk, before: int) -> None:
        """The one loop that runs for every client and every message: what is added here is felt."""
        full = []
        for follower in self._current:
            outlet = follower.outlet
            if outlet.has_room:
                outlet.push(chunk)
            else:
                full.append(follower)
        metrics.count_sent(len(chunk.frames), len(chunk.wire), clients=len(self._current) - len(full))
        for follower in full:
            self._fall_behind(follower, before)

    def page(self, follower: Follower, events: Sequence[Event], upto: int) -> None:
        """What is due to one who catches up; the next at the same place gets the same bytes."""
        place = (events[0].seq, events[-1].seq, len(events)) if events else (0, 0, 0)
        if self._page[0] != place:
            self._page = (place, self.chunk(events))
        follower.push(self._page[1], upto)

    def chunk(self, events: Sequence[Event]) -> Chunk | None:
        """What of `events` is wanted, in the lane's form; None where nothing is."""
        wants = self.wanted.wants
        frames = [event.frame for event in events if self._wants_all or wants(event.fact)]
        if not frames:
            return None
        return self.chunk_of([batch_frame(self._stream.name, frames)] if self.form.is_batch else frames)

    def chunk_of(self, frames: Sequence[bytes]) -> Chunk:
        return Chunk(frames, is_compressed=self.form.is_compressed)

    def fallen_behind(self, oldest: int) -> list[Follower]:
        """Those who wait for what is no longer kept."""
        return [follower for follower in self._others if follower.is_behind and follower.seq < oldest]

    def _forget_page(self) -> None:
        # Thousands of lanes with a page each, for nobody, would be gigabytes.
        if not self._others:
            self._page = NO_PAGE

    def _fall_behind(self, follower: Follower, seq: int) -> None:
        follower.is_current, follower.seq = False, seq
        self._current.discard(follower)
        self._others.add(follower)
