"""A subscriber: one client's position in one stream, and the transport that carries its frames."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from hyperwatch import metrics
from realtime.protocol.vocabulary import CloseCode

if TYPE_CHECKING:
    from realtime.delivery.filter_groups import FilterGroup, FrameBatch


class Transport(Protocol):
    """The outgoing side of a connection.

    It accepts any amount, and buffers in memory while it is not `writable`.
    `on_drain` is called when its buffer is empty; `kind` is its label in the metrics.
    """

    on_drain: Callable[[], None] | None

    @property
    def kind(self) -> str: ...

    @property
    def writable(self) -> bool: ...

    @property
    def is_compressed(self) -> bool: ...

    def push(self, batch: "FrameBatch") -> None:
        """Writes encoded frames, in order."""


class Client(Protocol):
    """The part of a connection that the hub uses."""

    transport: Transport

    def close_with(self, code: CloseCode) -> None:
        """Closes the connection after everything that was pushed."""


class SubscriberState(Enum):
    """Where the next events of a subscriber come from."""

    # From the feed's history, or from the database if the history is too short: after a snapshot or `since`, before
    # the subscriber is live for the first time.
    RESUMING = auto()
    # From the history alone. Behind its oldest event, an event stream evicts and a state stream skips to the latest.
    BEHIND = auto()
    # From the feed, as they arrive: it has everything up to the head.
    LIVE = auto()
    # None: unsubscribed or evicted. Tasks that still send to it stop.
    CLOSED = auto()


class Subscriber:
    """A position in a stream: everything up to `seq` was sent, and while LIVE everything up to the feed's head.

    `is_busy` is a lock and not a state: one task sends to a subscriber at a time, and RESUMING and BEHIND occur with
    it held (a page is being read) and released (the transport is full). A new subscriber holds it until `Hub.start`
    has sent its beginning, so that a drained transport cannot send events before that.
    """

    __slots__ = ("client", "group", "is_busy", "seq", "state", "transport")

    def __init__(self, client: Client, group: "FilterGroup", seq: int) -> None:
        self.client = client
        self.transport = client.transport
        self.group = group
        self.seq = seq
        self.state = SubscriberState.BEHIND
        self.is_busy = True

    @property
    def is_catching_up(self) -> bool:
        return self.state is SubscriberState.RESUMING or self.state is SubscriberState.BEHIND

    @property
    def is_stalled(self) -> bool:
        """Waits for its transport, and the history alone can serve it."""
        return self.state is SubscriberState.BEHIND and not self.is_busy

    def take_over(self, replaced: "Subscriber") -> None:
        """Continues from the position of the subscription that this one replaces, which is not LIVE.

        An evicted one was BEHIND: so is its replacement, which is evicted too, and no event is skipped silently.
        """
        self.seq = replaced.seq
        if replaced.state is SubscriberState.RESUMING:
            self.state = SubscriberState.RESUMING

    def write(self, frames: Sequence[bytes], upto: int) -> None:
        """Sends frames to this subscriber alone, in its group's encoding."""
        self.push(self.group.batch_of(frames), upto)

    def push(self, batch: "FrameBatch | None", upto: int) -> None:
        self.seq = upto
        if batch is not None:
            self.transport.push(batch)
            metrics.count_sent(len(batch.frames), len(batch.wire))
