"""One hub in each event loop hears what is stored and tells this process's clients, complete and in order.

The channel layer is believed in nothing: it may lose messages, deliver them out of order or be gone. What a
message leaves out is read from the database, where the numbers have no holes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from hyperwatch import metrics
from hyperwatch.asking import DatabaseThreads
from hyperwatch.away import is_cancelled
from realtime.feed import EventFeed, Feed, StateFeed
from realtime.followers import Chunk, Client, Follower, Form, Lane
from realtime.frames import Event, gap_frame, snapshot_frame, unpack
from realtime.groups import Membership
from realtime.heads import Place, Standing, read_standing
from realtime.protocol import CloseCode
from realtime.streams import Stream, channels
from realtime.subscriptions import Filter, Start, Subscription
from realtime.tail import read_events, read_newest, read_start, read_states

log = logging.getLogger(__name__)

# Two consumers may publish out of order: so long a hole may close by itself.
GRACE = 0.05
JOIN_PATIENCE = 1.0
MEND_ROWS = 1_000
# A snapshot is looked for among so many of the newest first, which takes no time to speak of.
LOOKED_THROUGH = 20_000
LOOK_SECONDS = 1.0


class HubAway(Exception):
    """The database does not answer; the text says so."""

    def __init__(self, why: str = "The database does not answer; try again") -> None:
        super().__init__(why)


class Hub:
    """From its first client to its last."""

    def __init__(self) -> None:
        self._membership = Membership(channels(), self._hear)
        self._database = DatabaseThreads("hub", seconds=None)
        # Apart from it: mending must not wait for what clients ask for, who resumes not for who wants a snapshot, and
        # a snapshot that is found at once not for one that takes long.
        self._resumes = DatabaseThreads("hub-resumes", seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        self._looks = DatabaseThreads("hub-looks", seconds=LOOK_SECONDS)
        self._searches = DatabaseThreads("hub-searches", 2, seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        self._clients: set[Client] = set()
        self._feeds: dict[str, Feed] = {}
        self._watching: asyncio.Task[None] | None = None
        self._mending: dict[str, asyncio.Task[None]] = {}
        self._to_mend_again: set[str] = set()
        self.epoch = ""
        self._started = asyncio.ensure_future(self._start())

    async def ready(self) -> None:
        """Waits until the hub knows where the streams are; raises HubAway where it cannot."""
        try:
            await asyncio.shield(self._started)
        except Exception as error:
            log.warning("the hub cannot start: %s", str(error).strip())
            forget_hub(self)
            raise HubAway from error

    @property
    def has_failed(self) -> bool:
        return self._started.done() and self._started.exception() is not None

    def places(self) -> dict[str, Place]:
        """Head and floor of each channel, as far as this process has followed it."""
        return {name: Place(feed.head, feed.floor) for name, feed in self._feeds.items()}

    def place(self, stream: Stream, follower: Follower) -> int:
        """Everything up to here that it wants was sent to it."""
        return self._feeds[stream.name].head if follower.is_current else follower.seq

    def enter(self, client: Client) -> None:
        self._clients.add(client)

    def exit(self, client: Client) -> None:
        """A client goes; with the last one goes the hub."""
        self._clients.discard(client)
        if not self._clients:
            forget_hub(self)
            self._stop()

    # Following

    def join(self, subscription: Subscription, client: Client, before: Follower | None = None) -> Follower:
        """A place at the head, or that of the client's subscription `before`. Nothing is sent before `begin`."""
        form = Form(subscription.is_batch, client.outlet.is_compressed)
        metrics.WEBSOCKET_SUBSCRIPTIONS.labels(subscription.stream.name).inc()
        follower = self._feeds[subscription.stream.name].join(client, subscription.filter, form)
        follower.is_resuming = not subscription.start.is_at_head
        if before is not None and not before.is_current and not follower.is_resuming:
            follower.seq, follower.is_resuming = before.seq, before.is_resuming
        return follower

    def leave(self, stream: Stream, follower: Follower) -> None:
        metrics.WEBSOCKET_SUBSCRIPTIONS.labels(stream.name).dec()
        self._feeds[stream.name].leave(follower)

    async def begin(self, subscription: Subscription, follower: Follower) -> None:
        """Sends what the subscription begins with, then what is new as it comes; raises HubAway."""
        feed, start = self._feeds[subscription.stream.name], subscription.start
        try:
            if start.snapshot is not None:
                await self._snapshot(feed, follower, start.snapshot)
            elif start.since is not None:
                await self._resume(feed, follower, start)
        except TimeoutError as error:
            raise HubAway(_too_long()) from error
        except (DatabaseError, InterfaceError) as error:
            raise HubAway(_too_long()) if is_cancelled(error) else HubAway() from error
        follower.is_busy = False
        await self.catch_up(subscription.stream, follower)

    async def catch_up(self, stream: Stream, follower: Follower) -> None:
        """Sends what a follower has not got, as long as there is room; it is called again once there is."""
        if follower.is_busy:
            return
        follower.is_busy = True
        try:
            await self._catch_up(self._feeds[stream.name], follower)
        except (DatabaseError, InterfaceError) as error:
            # It would wait for ever: nothing else asks again for it. It comes back with `since`.
            log.warning("a client cannot resume: %s", str(error).strip())
            follower.client.go_away(CloseCode.GOING_AWAY)
        finally:
            follower.is_busy = False

    async def _catch_up(self, feed: Feed, follower: Follower) -> None:
        while not (follower.is_gone or follower.is_current) and follower.outlet.has_room:
            if follower.seq >= feed.head:
                follower.lane.catch(follower)
                return
            kept = feed.resume(follower.seq) if follower.is_resuming else feed.after(follower.seq)
            if kept is not None:
                follower.lane.page(follower, *kept)
            elif follower.is_resuming:
                await self._read_for(feed, follower)
            else:
                self._part_from(feed, follower)
            # The others' turn: a kernel that takes everything would keep us here for a hundred pages.
            await asyncio.sleep(0)

    async def _read_for(self, feed: Feed, follower: Follower) -> None:
        """A page from the database; what retention has removed meanwhile is a gap."""
        upto = feed.head
        events = await self._resumes.ask(read_events, feed.stream, follower.seq, MEND_ROWS, upto)
        if follower.is_gone:
            return
        first = events[0].seq if events else upto + 1
        if first > follower.seq + 1:
            follower.write([gap_frame(feed.stream.name, follower.seq + 1, first - 1)], first - 1)
        if events:
            follower.push(follower.lane.chunk(events), events[-1].seq)

    async def _snapshot(self, feed: Feed, follower: Follower, most: int) -> None:
        head = follower.seq = feed.head
        events = feed.newest(follower.lane.wanted, most)
        if events is None:
            async with asyncio.timeout(settings.DATABASE_STATEMENT_TIMEOUT_SECONDS):
                events = await self._found(feed, follower.lane.wanted, head, most)
        # Hundreds of states are megabytes, which to join and compress would hold up everybody's frames.
        chunk = await asyncio.to_thread(_snapshot_chunk, feed.stream.name, head, events, follower.lane)
        if not follower.is_gone:
            follower.push(chunk, head)

    async def _found(self, feed: Feed, wanted: Filter, head: int, most: int) -> list[Event]:
        """What matches may be rare, and then the whole stream is searched for it."""
        after = max(feed.floor, head - LOOKED_THROUGH)
        try:
            events = await self._looks.ask(read_newest, feed.stream, wanted, after, head, most)
            if len(events) == most or after == feed.floor:
                return events
        except DatabaseError as error:
            if not is_cancelled(error):
                raise
        return await self._searches.ask(read_newest, feed.stream, wanted, feed.floor, head, most)

    async def _resume(self, feed: Feed, follower: Follower, start: Start) -> None:
        """Puts the follower where it goes on, with a `gap` first where something is missing in between."""
        since = start.since or 0
        is_our_life = start.epoch in (None, self.epoch)
        if since > feed.head and is_our_life:
            # REST may have told of a head that has not come here yet.
            await self._read_on(feed, "heads")
        oldest = max(feed.floor, feed.head - settings.STREAM_REPLAY_MAX)
        follower.seq = since
        if since > feed.head or not is_our_life:
            # Numbers of another life say nothing of this one: all that there is counts as missing.
            self._tell_gap(feed, follower, feed.floor + 1, feed.head, known=0)
        elif since < oldest:
            self._tell_gap(feed, follower, since + 1, oldest, known=since)

    @staticmethod
    def _tell_gap(feed: Feed, follower: Follower, first: int, last: int, known: int) -> None:
        """On a state channel the newest of each coin is there all the same, from what is `known` on."""
        follower.write([gap_frame(feed.stream.name, first, last)], last)
        if feed.stream.is_state:
            follower.seq = known

    @staticmethod
    def _part_from(feed: Feed, follower: Follower) -> None:
        """It has fallen further behind than is kept. It comes back with `since`."""
        feed.leave(follower)
        follower.client.go_away(CloseCode.TOO_SLOW)

    # Its life

    async def _start(self) -> None:
        # The groups first: what is published after the heads were read is heard, or found by the next look.
        self._membership.join_anew()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._membership.joined.wait(), JOIN_PATIENCE)
        standing, newest = await self._database.ask(read_start)
        self.epoch = standing.epoch
        for name, stream in channels().items():
            place = standing.places.get(name, Place(0, 0))
            ring_bytes = settings.STREAM_HISTORY_MAX_BYTES
            self._feeds[name] = (
                StateFeed(stream, place, ring_bytes, newest[name])
                if stream.is_state
                else EventFeed(stream, place, ring_bytes)
            )
        self._watching = asyncio.ensure_future(self._watch())

    def _stop(self) -> None:
        for name in self._feeds:
            metrics.HUB_HISTORY_BYTES.labels(name).set(0)
        for task in (self._started, self._watching, *self._mending.values()):
            if task is not None:
                task.cancel()
        self._membership.end()
        self._database.end()
        self._resumes.end()
        self._looks.end()
        self._searches.end()

    # What it hears

    def _hear(self, message: dict[str, Any]) -> None:
        feed = self._feeds.get(message["stream"])
        if feed is None:
            return
        self._offer(feed, unpack(message["events"]))
        if (sent_ms := message.get("sent_ms", 0)) > 0:
            metrics.HUB_DELIVERY_LATENCY_SECONDS.labels(feed.stream.name).observe(max(time.time() - sent_ms / 1000, 0))
        if feed.has_hole:
            self._mend_soon(feed, "hole")

    @staticmethod
    def _offer(feed: Feed, events: list[Event]) -> None:
        metrics.HUB_EVENTS_TOTAL.labels(feed.stream.name).inc(feed.offer(events))

    # What it reads where hearing failed

    async def _watch(self) -> None:
        """Looks at the heads every other second, whatever was heard and whatever the last look came to."""
        while True:
            await asyncio.sleep(settings.STREAM_SYNC_INTERVAL_SECONDS)
            try:
                self._part_from_behind()
                await self._compare(await self._database.ask(read_standing))
            except (DatabaseError, InterfaceError) as error:
                log.warning("the hub cannot read the heads: %s", str(error).strip())
            except Exception:
                log.exception("a look at the heads failed; the next one comes")

    def _part_from_behind(self) -> None:
        """One who never has room again would be noticed by nothing else."""
        for feed in self._feeds.values():
            if not feed.stream.is_state:
                for follower in feed.fallen_behind():
                    self._part_from(feed, follower)

    async def _compare(self, standing: Standing) -> None:
        if standing.epoch != self.epoch:
            log.warning("the numbers start anew (epoch %s): the clients are to come anew", standing.epoch)
            # Who comes back is to meet another hub.
            forget_hub(self)
            for client in list(self._clients):
                client.go_away(CloseCode.GOING_AWAY)
            return
        await asyncio.sleep(GRACE)
        for name, feed in self._feeds.items():
            feed.raise_floor(standing.places[name].floor)
            if isinstance(feed, StateFeed) and feed.has_lost_newest:
                feed.restore(await self._database.ask(read_states, feed.stream))
        deaf = [feed for name, feed in self._feeds.items() if feed.head < standing.places[name].head]
        for feed in deaf:
            self._mend_soon(feed, "heads")
        if deaf:
            self._membership.join_anew()

    def _mend_soon(self, feed: Feed, way: str) -> None:
        name = feed.stream.name
        if name in self._mending:
            # Its last read may not have seen what opened this one.
            self._to_mend_again.add(name)
            return

        def ended(task: asyncio.Task[None]) -> None:
            del self._mending[name]
            is_due_again = name in self._to_mend_again
            self._to_mend_again.discard(name)
            if is_due_again and feed.has_hole and not task.cancelled():
                self._mend_soon(feed, "hole")

        self._mending[name] = asyncio.ensure_future(self._mend(feed, way))
        self._mending[name].add_done_callback(ended)

    async def _mend(self, feed: Feed, way: str) -> None:
        await asyncio.sleep(GRACE)
        try:
            await self._read_on(feed, way)
        except (DatabaseError, InterfaceError) as error:
            log.warning("a hole in %s stays open for now: %s", feed.stream.name, str(error).strip())

    async def _read_on(self, feed: Feed, way: str) -> None:
        while feed.has_hole or way == "heads":
            before = feed.head
            events = await self._database.ask(read_events, feed.stream, before, MEND_ROWS)
            metrics.HUB_BACKFILLED_EVENTS_TOTAL.labels(feed.stream.name, way).inc(len(events))
            self._offer(feed, events)
            # Where it does not go on, rows were pruned, which the next look at the heads tells.
            if len(events) < MEND_ROWS or feed.head == before:
                return


def _snapshot_chunk(channel: str, head: int, events: Sequence[Event], lane: Lane) -> Chunk:
    return lane.chunk_of([snapshot_frame(channel, head, events)])


def _too_long() -> str:
    return (
        f"The database did not find it within {settings.DATABASE_STATEMENT_TIMEOUT_SECONDS:g} s; ask again, or for less"
    )


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running loop; the first client starts it."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def forget_hub(hub: Hub) -> None:
    for loop, known in list(_hubs.items()):
        if known is hub:
            del _hubs[loop]
