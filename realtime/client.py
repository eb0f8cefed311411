"""A client for the stream that loses nothing: it reconnects and resumes by itself, and tells of what it could not get.

It needs Python 3.11 and `websockets`, and nothing else of this project: copy the file to wherever you want it.

    import asyncio
    from client import Client, Fact, Gap, Snapshot

    async def main():
        async with Client("ws://localhost:8080/ws") as client:
            await client.subscribe("liquidations", coins=["BTC"], filters={"min_value_usd": "10000"})
            await client.subscribe("whale_activities", snapshot=20)
            async for event in client:
                match event:
                    case Fact(channel=channel, seq=seq, data=data):
                        print(channel, seq, data["coin"])
                    case Snapshot(channel=channel, data=rows):
                        print(channel, "begins with", len(rows))
                    case Gap(channel=channel, missing_from=first, missing_to=last):
                        print(channel, "has lost", first, "to", last)

    asyncio.run(main())

`subscribe` takes one channel and its params as websocket.md names them; call it for each channel. It begins with
what is new; with `snapshot=N` behind the last N; with `since=event.seq, epoch=event.epoch`, which a program has
kept from its last run, behind that event. A lost connection is taken up again where it was, for as long as it
takes; the log says so (`logging`). All of a client is for one task; `asyncio.timeout` around any of it is safe.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

log = logging.getLogger(__name__)

# Codes with which a server that is well sends a client away: it ends in order, or we were too slow.
COME_BACK = {1001, 4408}
UNAUTHORISED = 4401
# Errors that pass: the database was away, too much was asked at once.
PASSING = {"INTERNAL_ERROR", "RATE_LIMITED"}
# After so many seconds a connection has been a good one, and the next pause is a short one again.
HEALTHY_SECONDS = 10.0
# For the answers to a handshake and to a close.
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event. `seq` and `epoch` together are its place, for `since`; `timestamp` is ISO 8601, the fact's own."""

    channel: str
    type: str
    seq: int
    epoch: str
    timestamp: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a channel begins with, ascending by `seq`; the facts go on behind `seq`, the head it was taken at."""

    channel: str
    seq: int
    epoch: str
    data: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What was not sent and will not be, both ends in. With another `epoch` than before, the numbers began anew."""

    channel: str
    missing_from: int
    missing_to: int
    epoch: str


Event = Fact | Snapshot | Gap


class StreamError(Exception):
    """What waiting does not help against."""


class Refused(StreamError):
    """The server lets us not in, or there is no stream at that address."""


class ServerError(StreamError):
    """The server's answer to a subscription that it does not take; `code` is one of websocket.md's."""

    code = ""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code


class InvalidChannel(ServerError):
    code = "INVALID_CHANNEL"


class InvalidParams(ServerError):
    code = "INVALID_PARAMS"


class InvalidMessage(ServerError):
    code = "INVALID_MESSAGE"


ERRORS: dict[str, type[ServerError]] = {error.code: error for error in (InvalidChannel, InvalidParams, InvalidMessage)}


class _TryAgain(Exception):
    """The server answers, and cannot do now what it was asked for."""


class Pauses:
    """Seconds between two attempts: each up to twice as long as the one before, with chance in it.

    Without the chance, all the clients of a server that ended would come back in the same instants.
    """

    def __init__(self, first: float = 0.25, longest: float = 15.0, chance: random.Random | None = None) -> None:
        self._first, self._longest = first, longest
        # Not to guess a secret by.
        self._chance = chance or random.Random()  # noqa: S311
        self._whole = 0.0

    def reset(self) -> None:
        self._whole = 0.0

    def next(self, *, is_invited: bool = False) -> float:
        """The next pause; none at all where the server said to come back and nothing has failed since."""
        whole = self._whole or (0.0 if is_invited else self._first)
        self._whole = min(2 * whole or self._first, self._longest)
        return whole * self._chance.uniform(0.5, 1.0)


class _Place(NamedTuple):
    seq: int
    epoch: str


@dataclass(slots=True)
class _Subscription:
    """A channel as it is wanted, and how far it has come."""

    channel: str
    params: dict[str, Any]
    snapshot: int | None
    place: _Place | None
    is_answered: bool = field(default=False)

    def start(self, hello: dict[str, Any]) -> dict[str, Any]:
        """The params that say where to begin.

        Without a place it is the head that the server has just told, so that what comes between its telling and
        a connection lost thereafter is not lost with it.
        """
        if self.place is None and self.snapshot is not None:
            return {"snapshot": self.snapshot}
        if self.place is None and self.channel in hello["channels"]:
            self.place = _Place(hello["channels"][self.channel]["head"], hello["epoch"])
        if self.place is None:
            return {}
        return {"since": self.place.seq} | ({"epoch": self.place.epoch} if self.place.epoch else {})


class Client:
    """A connection that holds. Events come by `async for`; `aclose`, or leaving `async with`, ends it.

    `alive` is how many seconds the server may be silent before it is asked whether it lives, and again for its
    answer; then it is left for a new connection.
    """

    def __init__(self, url: str, *, alive: float = 20.0, pauses: Pauses | None = None) -> None:
        self._url = url
        self._alive = alive
        self._pauses = pauses or Pauses()
        self._subscriptions: dict[str, _Subscription] = {}
        self._unasked: list[_Subscription] = []
        self._asked: deque[_Subscription] = deque()
        self._ready: deque[Event] = deque()
        self._socket: ClientConnection | None = None
        self._hello: dict[str, Any] | None = None
        self._epoch = ""
        self._connected_at = self._connect_at = self._greeted_at = 0.0
        self._is_lost = False
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the iteration, also one that waits in another task, and the connection."""
        self._closed.set()
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def subscribe(
        self, channel: str, *, since: int | None = None, epoch: str = "", snapshot: int | None = None, **params: Any
    ) -> None:
        """Returns once the server has agreed; raises InvalidChannel, InvalidParams or another StreamError."""
        if channel in self._subscriptions:
            raise ValueError(f"{channel} is subscribed to already")
        if since is not None and snapshot is not None:
            raise ValueError("since and snapshot do not go together")
        place = None if since is None else _Place(since, epoch)
        wanted = _Subscription(channel, params, snapshot, place)
        self._subscriptions[channel] = wanted
        self._unasked.append(wanted)
        try:
            while not (wanted.is_answered or self._closed.is_set()):
                await self._step()
        except BaseException:
            self._forget(wanted)
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._closed.is_set():
                raise StopAsyncIteration
            await self._step()
        return self._ready.popleft()

    # The connection

    async def _step(self) -> None:
        """Takes in one frame; a connection that is lost is taken up again by the next step."""
        try:
            socket = self._socket or await self._connect()
            if self._unasked:
                await self._ask(socket)
            elif asyncio.get_running_loop().time() - self._greeted_at > self._alive:
                await self._say_hello(socket)
            self._take(await self._receive(socket))
        except (OSError, ConnectionClosed, InvalidHandshake, _TryAgain) as lost:
            if not self._closed.is_set():
                await self._lose(lost)

    async def _connect(self) -> ClientConnection:
        await self._pause()
        # Its own pings would cut off a program that is busy with an event for long: what is not read holds no pong.
        socket = await connect(
            self._url, max_size=None, ping_interval=None, open_timeout=OPEN_SECONDS, close_timeout=CLOSE_SECONDS
        )
        if self._closed.is_set():
            await socket.close()
            raise ConnectionAbortedError
        self._socket = socket
        self._connected_at = asyncio.get_running_loop().time()
        self._unasked = list(self._subscriptions.values())
        self._asked.clear()
        if self._is_lost:
            log.info("connected to %s again", self._url)
        self._is_lost = False
        return socket

    async def _ask(self, socket: ClientConnection) -> None:
        """Subscribes to what it has not on this connection, each from where it is."""
        hello = await self._greet(socket)
        while self._unasked:
            wanted = self._unasked.pop()
            params = {**wanted.params, **wanted.start(hello)}
            self._asked.append(wanted)
            await socket.send(json.dumps({"type": "subscribe", "channels": [wanted.channel], "params": params}))

    async def _greet(self, socket: ClientConnection) -> dict[str, Any]:
        self._hello = None
        await self._say_hello(socket)
        while self._hello is None:
            self._take(await self._receive(socket))
        return self._hello

    async def _say_hello(self, socket: ClientConnection) -> None:
        """The answer says how far each channel has come: one that is quiet is not told of a gap after a long time."""
        self._greeted_at = asyncio.get_running_loop().time()
        await socket.send(json.dumps({"type": "hello"}))

    async def _receive(self, socket: ClientConnection) -> dict[str, Any]:
        """The next frame; raises TimeoutError where the server has died without a word."""
        try:
            return await self._receive_soon(socket)
        except TimeoutError:
            # Any frame shows that it lives: a pong of the protocol's own would not be read behind a full queue.
            await self._say_hello(socket)
            return await self._receive_soon(socket)

    async def _receive_soon(self, socket: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(self._alive):
            text = await socket.recv()
        try:
            frame: dict[str, Any] = json.loads(text)
        except ValueError:
            frame = {}
        if not isinstance(frame, dict) or "type" not in frame:
            raise Refused(f"{self._url} speaks something else: {text[:80]!r}")
        return frame

    async def _lose(self, lost: Exception) -> None:
        """Makes the next connection wait for its time; raises Refused where there is no use in one."""
        socket, self._socket = self._socket, None
        code = lost.rcvd.code if isinstance(lost, ConnectionClosed) and lost.rcvd else None
        if code == UNAUTHORISED or _is_final(lost):
            raise Refused(f"{self._url}: {lost}") from lost
        now = asyncio.get_running_loop().time()
        if socket is not None:
            if now - self._connected_at > HEALTHY_SECONDS:
                self._pauses.reset()
            await socket.close()
        # Once for each trouble, however often it is tried.
        log.log(logging.DEBUG if self._is_lost else logging.WARNING, "%s: %s; trying again", self._url, _reason(lost))
        self._is_lost = True
        self._connect_at = now + self._pauses.next(is_invited=code in COME_BACK)

    async def _pause(self) -> None:
        # By the clock: a caller whose patience is shorter than the pause comes back in the middle of it.
        if (pause := self._connect_at - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)
        if self._closed.is_set():
            raise ConnectionAbortedError

    # What comes

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "batch":
                for one in frame["data"]:
                    self._take(one)
            case "connected":
                self._hello, self._epoch = frame, frame["epoch"]
                self._move_on(frame.get("places", {}))
            case "subscribed":
                self._asked.popleft().is_answered = True
            case "error":
                self._refuse(frame["code"], frame["message"])
            case _ if (wanted := self._subscriptions.get(frame.get("channel", ""))) is not None:
                self._take_event(wanted, frame)

    def _move_on(self, places: dict[str, int]) -> None:
        for channel, seq in places.items():
            wanted = self._subscriptions.get(channel)
            if wanted is not None and wanted.place is not None and wanted.place.seq < seq:
                wanted.place = _Place(seq, self._epoch)

    def _refuse(self, code: str, message: str) -> None:
        if code in PASSING:
            raise _TryAgain(message)
        if self._asked:
            # Answers come in the order of the questions.
            self._forget(self._asked.popleft())
        raise ERRORS.get(code, ServerError)(message, code)

    def _forget(self, unwanted: _Subscription) -> None:
        self._unasked = [wanted for wanted in self._unasked if wanted is not unwanted]
        if self._subscriptions.get(unwanted.channel) is unwanted:
            del self._subscriptions[unwanted.channel]

    def _take_event(self, wanted: _Subscription, frame: dict[str, Any]) -> None:
        make = _EVENTS.get(frame["type"], _fact)
        seq, event = make(frame, self._epoch)
        # Only a gap or a snapshot may lead back: where the numbers began anew.
        if make is _fact and wanted.place is not None and seq <= wanted.place.seq:
            return
        wanted.place = _Place(seq, self._epoch)
        self._ready.append(event)


def _fact(frame: dict[str, Any], epoch: str) -> tuple[int, Event]:
    seq = frame["seq"]
    return seq, Fact(
        channel=frame["channel"],
        type=frame["type"],
        seq=seq,
        epoch=epoch,
        timestamp=frame["timestamp"],
        data=frame["data"],
    )


def _snapshot(frame: dict[str, Any], epoch: str) -> tuple[int, Event]:
    return frame["seq"], Snapshot(channel=frame["channel"], seq=frame["seq"], epoch=epoch, data=frame["data"])


def _gap(frame: dict[str, Any], epoch: str) -> tuple[int, Event]:
    missing_from, missing_to = frame["missing_from"], frame["missing_to"]
    return missing_to, Gap(channel=frame["channel"], missing_from=missing_from, missing_to=missing_to, epoch=epoch)


_EVENTS: dict[str, Callable[[dict[str, Any], str], tuple[int, Event]]] = {"snapshot": _snapshot, "gap": _gap}


def _is_final(lost: Exception) -> bool:
    """A 404 stays one; a proxy's 502 to 504 and a 429 pass."""
    return isinstance(lost, InvalidStatus) and lost.response.status_code < 500 and lost.response.status_code != 429


def _reason(lost: Exception) -> str:
    return str(lost) or ("no answer" if isinstance(lost, TimeoutError) else type(lost).__name__)
