"""A WebSocket client's connection: it reads frames, answers, and asks the hub for what it wants."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from prometheus_client import Counter

from hyperwatch.api.keys import may_read
from realtime.followers import Chunk, Follower
from realtime.hub import Hub, HubAway, get_hub
from realtime.protocol import (
    BadFrame,
    ClientFrame,
    ClientMessage,
    CloseCode,
    Connected,
    Error,
    ErrorCode,
    Limits,
    Pong,
    Reach,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)
from realtime.subscriptions import Subscription, named_channels, subscriptions

log = logging.getLogger(__name__)

# So long a client may leave unread what it was sent before it asks for more.
ANSWER_SECONDS = 5.0

FRAMES = Counter("hyperwatch_frames", "Frames sent to WebSocket clients", ["way"])
CLOSED = Counter("hyperwatch_closed", "Connections closed by the server", ["code"])
BAD_FRAMES = Counter("hyperwatch_bad_frames", "Frames from clients that could not be", ["code"])


_read = msgspec.json.Decoder(ClientMessage).decode


class StreamConsumer(AsyncWebsocketConsumer):
    """`/ws` (websocket.md)."""

    # It has no channel of its own: the hub is the one member of the groups, and that saves 6 to 8 KB each.
    channel_layer_alias = "none"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hub: Hub | None = None
        self._subscriptions: dict[str, tuple[Subscription, Follower]] = {}
        self._client_id = ""
        self._outlet: Any = None
        self._catching_up: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # `disconnect` is not called after an exception, a killed application or SIGTERM.
            self._leave()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # The base class hops to a thread for each message, to close database connections. There are none here.
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        await self.accept()
        if not _origin_allowed(self.scope):
            await self.go_away(CloseCode.UNAUTHORISED)
            return
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        if not await may_read(query.get("token", [""])[-1]):
            await self.go_away(CloseCode.UNAUTHORISED)
            return
        self._take_outlet()
        self._client_id = query.get("client_id", [""])[-1][:64] or uuid.uuid4().hex
        self._hub = get_hub()
        self._hub.enter(self)
        if query.get("hello", [""])[-1] == "1":
            await self._answer(ClientMessage(ClientFrame.HELLO))

    def _take_outlet(self) -> None:
        """The server's own way out, where it has one: other servers and tests know only `send`."""
        scope: dict[str, Any] = dict(self.scope)
        self._outlet = (scope.get("extensions") or {}).get("outlet")
        if self._outlet is not None:
            self._outlet.on_room = self._on_room

    async def _has_room_soon(self) -> bool:
        """Who asks and does not read the answers is not answered: what it asks for would pile up here."""
        until = time.monotonic() + ANSWER_SECONDS
        while not self.has_room and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return self.has_room

    def _on_room(self) -> None:
        """What was written has left: who fell behind goes on from where it is."""
        for subscription, follower in self._subscriptions.values():
            if self._hub is not None and not follower.is_current:
                task = asyncio.ensure_future(self._hub.catch_up(subscription.stream, follower))
                self._catching_up.add(task)
                task.add_done_callback(self._catching_up.discard)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(text_data or bytes_data or "") > settings.WEBSOCKET_FRAME_BYTES:
            await self.go_away(CloseCode.FRAME_TOO_LARGE)
            return
        if not await self._has_room_soon():
            await self.go_away(CloseCode.TOO_SLOW)
            return
        try:
            await self._answer(_message(text_data))
        except BadFrame as bad:
            BAD_FRAMES.labels(bad.code).inc()
            await self._send(Error(bad.code, bad.message).text())
        except HubAway as away:
            what = f": {away}" if str(away) else ""
            error = Error(ErrorCode.INTERNAL_ERROR, f"The database does not answer{what}; try again")
            await self._send(error.text())

    @property
    def has_room(self) -> bool:
        return self._outlet is None or self._outlet.has_room

    def push(self, chunk: Chunk) -> Awaitable[None] | None:
        if self._outlet is not None and self._outlet.push(chunk.wire):
            FRAMES.labels("outlet").inc(len(chunk.frames))
            return None
        return self._push_by_send(chunk)

    async def _push_by_send(self, chunk: Chunk) -> None:
        try:
            for text in chunk.texts:
                await self._send(text)
        except Exception:
            log.warning("a frame could not be sent to %s", self._client_id, exc_info=True)

    async def go_away(self, code: CloseCode) -> None:
        CLOSED.labels(str(int(code))).inc()
        # A plain int: autobahn takes no IntEnum for a close code.
        await self.close(code=int(code))

    async def _answer(self, message: ClientMessage) -> None:
        match message.type:
            case ClientFrame.SUBSCRIBE:
                await self._subscribe(message)
            case ClientFrame.UNSUBSCRIBE:
                await self._unsubscribe(message)
            case ClientFrame.PING:
                await self._send(Pong().text())
            case ClientFrame.GET_SUBSCRIPTIONS:
                await self._show_subscriptions()
            case ClientFrame.HELLO:
                await self._greet()
            case unknown:
                raise BadFrame(ErrorCode.INVALID_MESSAGE, f"Message type '{unknown[:64]}' is not known")

    async def _subscribe(self, message: ClientMessage) -> None:
        wanted = subscriptions(_named(message), message.params)
        hub = await self._ready_hub()
        begun = []
        for new in wanted:
            self._drop(new.stream.name)
            follower = hub.join(new, self)
            self._subscriptions[new.stream.name] = (new, follower)
            begun.append((new, follower))
        await self._send(Subscribed(_named_once(message)).text())
        await self._begin(hub, begun)

    async def _begin(self, hub: Hub, begun: list[tuple[Subscription, Follower]]) -> None:
        while begun:
            try:
                await hub.begin(*begun[0])
            except HubAway as away:
                names = [new.stream.name for new, _ in begun]
                for name in names:
                    self._drop(name)
                raise HubAway(f"not subscribed to {', '.join(names)}") from away
            begun.pop(0)

    async def _unsubscribe(self, message: ClientMessage) -> None:
        for stream in _named(message):
            self._drop(stream.name)
        await self._send(Unsubscribed(_named_once(message)).text())

    async def _show_subscriptions(self) -> None:
        shown = {name: subscription.params for name, (subscription, _) in self._subscriptions.items()}
        first = next(iter(shown.values()), {})
        await self._send(Subscriptions(list(shown), first, shown).text())

    async def _greet(self) -> None:
        hub = await self._ready_hub()
        reaches = {name: Reach(*place) for name, place in hub.places().items()}
        limits = Limits(settings.WEBSOCKET_FRAME_BYTES)
        await self._send(Connected(self._client_id, hub.epoch, limits, reaches).text())

    async def _ready_hub(self) -> Hub:
        """The hub, once it knows where the streams are; one that could not start is replaced. Raises HubAway."""
        if self._hub is None or self._hub.has_failed:
            if self._hub is not None:
                self._hub.exit(self)
            self._hub = get_hub()
            self._hub.enter(self)
        await self._hub.ready()
        return self._hub

    def _drop(self, name: str) -> None:
        old = self._subscriptions.pop(name, None)
        if old is not None and self._hub is not None:
            subscription, follower = old
            self._hub.leave(subscription.stream, follower)

    def _leave(self) -> None:
        if self._outlet is not None:
            self._outlet.on_room = None
        for name in list(self._subscriptions):
            self._drop(name)
        if self._hub is not None:
            self._hub.exit(self)

    async def _send(self, text: str) -> None:
        FRAMES.labels("send").inc()
        await self.base_send({"type": "websocket.send", "text": text})  # type: ignore[arg-type, misc, unused-ignore]


def _message(text: str | None) -> ClientMessage:
    if text is None:
        raise BadFrame(ErrorCode.INVALID_MESSAGE, "Frames are JSON text; this one was binary")
    try:
        return _read(text)
    except (ValueError, RecursionError) as error:
        raise BadFrame(ErrorCode.INVALID_MESSAGE, f"Not a frame: {error}") from error


def _named(message: ClientMessage) -> Any:
    if not message.channels:
        raise BadFrame(ErrorCode.INVALID_MESSAGE, "'channels' must name at least one channel")
    return named_channels(message.channels)


def _named_once(message: ClientMessage) -> list[str]:
    return list(dict.fromkeys(message.channels))


def _origin_allowed(scope: Any) -> bool:
    """Bots send no Origin and are let in; a browser's must be allowed by the settings."""
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
    allowed = settings.WEBSOCKET_ALLOWED_ORIGINS
    return "*" in allowed or all(origin in allowed for origin in origins)
