"""A client for the stream. It reconnects and resumes automatically, and reports every event it missed as a Gap.

It requires Python 3.11 and `websockets` and nothing else of this project: copy the file.

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
                        print(channel, "starts with", len(rows), "rows")
                    case Gap(channel=channel, missing_from=first, missing_to=last):
                        print(channel, "missed", first, "to", last)

    asyncio.run(main())

Call `subscribe` once for each channel, with the params of websocket.md. A subscription starts with new events.
`snapshot=N` adds the last N events. `since=event.seq, epoch=event.epoch`, stored by an earlier run, resumes after that
event. Reconnecting has no time limit; connection errors are logged. Use a client in one task only. All methods may be
cancelled, for example by `asyncio.timeout`.
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
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

log = logging.getLogger(__name__)

# Close codes of a healthy server: shutdown (1001), slow client (4408). The first reconnect is immediate.
RECONNECT_CODES = {1001, 4408}
# Close codes of a client that would be refused again: the key or the origin (4401), the path of the URL (4404).
FINAL_CODES = {4401, 4404}
# Temporary errors: the database is unavailable, or the rate limit is exceeded.
TEMPORARY_ERRORS = {"INTERNAL_ERROR", "RATE_LIMITED"}
# A connection that lasted this long resets the reconnect delay.
HEALTHY_SECONDS = 10.0
# Time limits of the opening and the closing handshake.
OPEN_TIMEOUT_SECONDS, CLOSE_TIMEOUT_SECONDS = 10.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event. `seq` and `epoch` are its position, for `since`; `timestamp` is ISO 8601, set by the exchange."""

    channel: str
    type: str
    seq: int
    epoch: str
    timestamp: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The initial rows of a channel, ascending by `seq`. Facts follow after `seq`, the head at read time."""

    channel: str
    seq: int
    epoch: str
    data: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Events that will not be sent, both ends included. A changed `epoch` means that `seq` restarted."""

    channel: str
    missing_from: int
    missing_to: int
    epoch: str


Event = Fact | Snapshot | Gap


class StreamError(Exception):
    """A permanent error: a reconnect would fail in the same way."""


class Refused(StreamError):
    """The server denies access, or the URL is not that of a stream."""


class ServerError(StreamError):
    """The server rejected a subscription; `code` is an error code of websocket.md."""

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


class _TemporaryError(Exception):
    """A temporary error of the server: reconnect and try again."""


class Pauses:
    """Reconnect delays in seconds: exponential backoff with jitter.

    Without jitter all clients of a restarted server would reconnect simultaneously.
    """

    def __init__(self, first: float = 0.25, longest: float = 15.0, chance: random.Random | None = None) -> None:
        self._first, self._longest = first, longest
        # The jitter needs no cryptographic randomness.
        self._rng = chance or random.Random()  # noqa: S311
        self._delay = 0.0

    def reset(self) -> None:
        self._delay = 0.0

    def next(self, *, is_invited: bool = False) -> float:
        """The next delay; 0 if the server invited a reconnect and no attempt has failed since."""
        delay = self._delay or (0.0 if is_invited else self._first)
        self._delay = min(2 * delay or self._first, self._longest)
        return delay * self._rng.uniform(0.5, 1.0)


class _Position(NamedTuple):
    seq: int
    epoch: str


@dataclass(slots=True)
class _Subscription:
    """A requested channel and the position of its last event."""

    channel: str
    params: dict[str, Any]
    snapshot: int | None
    position: _Position | None
    is_confirmed: bool = field(default=False)

    def start(self, hello: dict[str, Any]) -> dict[str, Any]:
        """The params of the start position.

        Without a position it is the channel's head from `hello`. Events after it are then replayed even if the
        connection is lost before the first one arrives.
        """
        if self.position is None and self.snapshot is not None:
            return {"snapshot": self.snapshot}
        if self.position is None and self.channel in hello["channels"]:
            self.position = _Position(hello["channels"][self.channel]["head"], hello["epoch"])
        if self.position is None:
            return {}
        return {"since": self.position.seq} | ({"epoch": self.position.epoch} if self.position.epoch else {})


class Client:
    """A reconnecting connection. `async for` yields events; `aclose` or the end of `async with` closes it.

    Every `alive` seconds the client sends `ping`, and `alive` seconds after a ping without any frame it reconnects.
    The pong has the position of each channel: the client resumes from there even if no event matched for hours.
    `token` is the API key; in this way it is not part of the URL, which servers and proxies log.
    """

    def __init__(self, url: str, *, token: str = "", alive: float = 20.0, pauses: Pauses | None = None) -> None:
        self._url = url
        self._token = token
        self._proxy = _proxy(url)
        self._alive = alive
        self._pauses = pauses or Pauses()
        self._subscriptions: dict[str, _Subscription] = {}
        self._pending: list[_Subscription] = []
        self._unconfirmed: deque[_Subscription] = deque()
        self._ready: deque[Event] = deque()
        self._socket: ClientConnection | None = None
        self._hello: dict[str, Any] | None = None
        self._epoch = ""
        self._connected_at = self._connect_at = self._ping_at = 0.0
        self._is_reconnecting = False
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection and ends the iteration, also one that waits in another task."""
        self._closed.set()
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def subscribe(
        self, channel: str, *, since: int | None = None, epoch: str = "", snapshot: int | None = None, **params: Any
    ) -> None:
        """Returns once the server has confirmed; raises InvalidChannel, InvalidParams or another StreamError."""
        if channel in self._subscriptions:
            raise ValueError(f"{channel} is subscribed already: use another Client for other params")
        if since is not None and snapshot is not None:
            raise ValueError("since and snapshot exclude each other: pass one of them")
        position = None if since is None else _Position(since, epoch)
        subscription = _Subscription(channel, params, snapshot, position)
        self._subscriptions[channel] = subscription
        self._pending.append(subscription)
        try:
            while not (subscription.is_confirmed or self._closed.is_set()):
                await self._step()
        except BaseException:
            self._remove(subscription)
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
        """Handles one frame. After a connection loss the next step reconnects."""
        try:
            socket = self._socket or await self._connect()
            if self._pending:
                await self._subscribe_pending(socket)
            elif asyncio.get_running_loop().time() - self._ping_at > self._alive:
                await self._send_ping(socket)
            self._handle(await self._receive(socket))
        except (OSError, ConnectionClosed, InvalidHandshake, _TemporaryError) as error:
            if not self._closed.is_set():
                await self._schedule_reconnect(error)

    async def _connect(self) -> ClientConnection:
        await self._wait_before_connect()
        # ping_interval=None: pongs behind unread frames would be missed while the program handles an event.
        socket = await connect(
            self._url,
            max_size=None,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT_SECONDS,
            close_timeout=CLOSE_TIMEOUT_SECONDS,
            proxy=self._proxy,
        )
        if self._closed.is_set():
            await socket.close()
            raise ConnectionAbortedError
        self._socket = socket
        self._connected_at = asyncio.get_running_loop().time()
        self._pending = list(self._subscriptions.values())
        self._unconfirmed.clear()
        if self._is_reconnecting:
            log.info("reconnected to %s", self._url)
        self._is_reconnecting = False
        if self._token:
            await socket.send(json.dumps({"type": "authenticate", "token": self._token}))
        return socket

    async def _subscribe_pending(self, socket: ClientConnection) -> None:
        """Subscribes the channels that are pending on this connection, each from its position."""
        hello = await self._exchange_hello(socket)
        while self._pending:
            subscription = self._pending.pop()
            params = {**subscription.params, **subscription.start(hello)}
            self._unconfirmed.append(subscription)
            await socket.send(json.dumps({"type": "subscribe", "channels": [subscription.channel], "params": params}))

    async def _exchange_hello(self, socket: ClientConnection) -> dict[str, Any]:
        self._hello = None
        self._ping_at = asyncio.get_running_loop().time()
        await socket.send(json.dumps({"type": "hello"}))
        while self._hello is None:
            self._handle(await self._receive(socket))
        return self._hello

    async def _send_ping(self, socket: ClientConnection) -> None:
        """The pong has the position of each channel, also of those without recent events."""
        self._ping_at = asyncio.get_running_loop().time()
        await socket.send(json.dumps({"type": "ping"}))

    async def _receive(self, socket: ClientConnection) -> dict[str, Any]:
        """The next frame; raises TimeoutError if the server is unreachable."""
        try:
            return await self._receive_within_timeout(socket)
        except TimeoutError:
            # Any frame proves that the server runs. A WebSocket pong would wait behind the frames in a full queue.
            await self._send_ping(socket)
            return await self._receive_within_timeout(socket)

    async def _receive_within_timeout(self, socket: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(self._alive):
            text = await socket.recv()
        try:
            frame: dict[str, Any] = json.loads(text)
        except ValueError:
            frame = {}
        if not isinstance(frame, dict) or "type" not in frame:
            raise Refused(f"{self._url} is not a stream, it sent {text[:80]!r}: check the URL")
        return frame

    async def _schedule_reconnect(self, error: Exception) -> None:
        """Discards the connection and sets the time of the next attempt; raises Refused for permanent errors."""
        socket, self._socket = self._socket, None
        code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else None
        if code in FINAL_CODES or _is_final(error):
            raise Refused(f"{self._place}: {_reason(error)}") from error
        now = asyncio.get_running_loop().time()
        if socket is not None:
            if now - self._connected_at > HEALTHY_SECONDS:
                self._pauses.reset()
            await socket.close()
        # One warning for each outage; further attempts are logged at DEBUG.
        level = logging.DEBUG if self._is_reconnecting else logging.WARNING
        log.log(level, "%s: %s; reconnecting", self._place, _reason(error))
        self._is_reconnecting = True
        self._connect_at = now + self._pauses.next(is_invited=code in RECONNECT_CODES)

    @property
    def _place(self) -> str:
        """The URL and the proxy in front of it, without its password."""
        return self._url if self._proxy is None else f"{self._url} through proxy {self._proxy.rpartition('@')[2]}"

    async def _wait_before_connect(self) -> None:
        # A deadline, not a duration: a caller may cancel the wait and call again.
        if (pause := self._connect_at - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)
        if self._closed.is_set():
            raise ConnectionAbortedError

    # Received frames

    def _handle(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "batch":
                for item in frame["data"]:
                    self._handle(item)
            case "connected":
                self._hello, self._epoch = frame, frame["epoch"]
            case "pong":
                self._advance_positions(frame.get("channels", {}))
            case "subscribed":
                self._unconfirmed.popleft().is_confirmed = True
            case "error":
                self._raise_error(frame["code"], frame["message"])
            case _ if (subscription := self._subscriptions.get(frame.get("channel", ""))) is not None:
                self._handle_event(subscription, frame)

    def _advance_positions(self, places: dict[str, dict[str, int]]) -> None:
        """All matching events up to the `seq` of a place were received before."""
        for channel, place in places.items():
            subscription = self._subscriptions.get(channel)
            position = None if subscription is None else subscription.position
            if subscription is not None and position is not None and position.seq < place["seq"]:
                subscription.position = _Position(place["seq"], self._epoch)

    def _raise_error(self, code: str, message: str) -> None:
        if code in TEMPORARY_ERRORS:
            raise _TemporaryError(message)
        if self._unconfirmed:
            # The server replies in the order of the requests.
            self._remove(self._unconfirmed.popleft())
        raise ERRORS.get(code, ServerError)(message, code)

    def _remove(self, subscription: _Subscription) -> None:
        self._pending = [item for item in self._pending if item is not subscription]
        if self._subscriptions.get(subscription.channel) is subscription:
            del self._subscriptions[subscription.channel]

    def _handle_event(self, subscription: _Subscription, frame: dict[str, Any]) -> None:
        build = _EVENT_BUILDERS.get(frame["type"], _fact)
        seq, event = build(frame, self._epoch)
        # Only a gap or a snapshot may move the position back, after a new epoch. Other events were received before.
        if build is _fact and subscription.position is not None and seq <= subscription.position.seq:
            return
        subscription.position = _Position(seq, self._epoch)
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


_EVENT_BUILDERS: dict[str, Callable[[dict[str, Any], str], tuple[int, Event]]] = {"snapshot": _snapshot, "gap": _gap}


def _proxy(url: str) -> str | None:
    """The proxy of the environment (`http_proxy` and others), which connections to this machine ignore."""
    try:
        uri = parse_uri(url)
    except InvalidURI:
        # `connect` raises it.
        return None
    is_local = uri.host == "localhost" or uri.host.startswith("127.") or uri.host == "::1"
    return None if is_local else get_proxy(uri)


def _is_final(error: Exception) -> bool:
    """True for permanent HTTP errors (404); 429 and a proxy's 502 to 504 are temporary."""
    return isinstance(error, InvalidStatus) and error.response.status_code < 500 and error.response.status_code != 429


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.reason:
        return f"{error.rcvd.reason} (code {error.rcvd.code})"
    return str(error) or ("no response" if isinstance(error, TimeoutError) else type(error).__name__)
