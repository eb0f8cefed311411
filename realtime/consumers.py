"""A WebSocket client's connection: it reads frames, answers, and asks the hub for what it wants."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs

import msgspec
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from hyperwatch import metrics
from hyperwatch.api.keys import AuthUnavailable, can_read
from hyperwatch.limits.throttling import read_rate
from realtime.delivery.asgi_transport import AsgiTransport
from realtime.delivery.connection_limits import FixedWindow, client_address, connection_limiter, header
from realtime.delivery.hub import Hub, HubUnavailable, get_hub
from realtime.delivery.key_revocation import key_watcher
from realtime.delivery.subscribers import Subscriber, SubscriberState, Transport
from realtime.protocol.descriptions import CLOSES
from realtime.protocol.subscriptions import SNAPSHOT_MAX, Subscription, named_channels, subscriptions
from realtime.protocol.vocabulary import (
    ClientFrame,
    ClientMessage,
    CloseCode,
    Connected,
    Error,
    ErrorCode,
    Limits,
    Pong,
    ProtocolError,
    StreamRange,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)

log = logging.getLogger(__name__)

# So long a client may leave unread what it was sent before it asks for more.
ANSWER_SECONDS = 5.0

_read = msgspec.json.Decoder(ClientMessage).decode


class StreamConsumer(AsyncWebsocketConsumer):
    """`/ws` (websocket.md)."""

    # It has no channel of its own: the hub is the one member of the groups, and that saves 6 to 8 KB each.
    channel_layer_alias = "none"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hub: Hub | None = None
        self._subscriptions: dict[str, tuple[Subscription, Subscriber]] = {}
        self._client_id = ""
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames = FixedWindow(read_rate(settings.WEBSOCKET_MESSAGE_RATE))
        self._refused = FixedWindow(read_rate(settings.WEBSOCKET_INVALID_MESSAGE_RATE))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One loop and no task beside it: the base class listens to a channel, too, and costs a task for each frame."""
        self.scope, self.base_send = scope, send
        connection = _connection(scope)
        with (
            connection_limiter.acquire(client_address(scope)) as self._is_one_too_many,
            contextlib.suppress(StopConsumer),
        ):
            try:
                while True:
                    await self.dispatch(await receive())
                    if connection is not None:
                        connection.frame_consumed()
            finally:
                # `disconnect` is not called after an exception, a killed application or SIGTERM.
                self._leave()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # The base class hops to a thread for each message, to close database connections. There are none here.
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        await self.accept()
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        token = query.get("token", [""])[-1]
        refusal = await self._refusal(token)
        if refusal is not None:
            await self._close(refusal)
            return
        if not settings.ALLOW_ANONYMOUS_READS:
            key_watcher.watch(self, token)
        self.transport = self._find_transport()
        self.transport.on_drain = self._on_drain
        metrics.WEBSOCKET_CONNECTIONS.labels(self.transport.kind).inc()
        self._client_id = query.get("client_id", [""])[-1][:64] or uuid.uuid4().hex
        self._hub = get_hub()
        self._hub.attach(self)
        if query.get("hello", [""])[-1] == "1":
            await self._answer(ClientMessage(ClientFrame.HELLO))

    async def _refusal(self, token: str) -> CloseCode | None:
        if self._is_one_too_many:
            return CloseCode.TOO_MANY_CONNECTIONS
        try:
            is_allowed = _origin_allowed(self.scope) and await can_read(token)
        except AuthUnavailable:
            return CloseCode.GOING_AWAY
        return None if is_allowed else CloseCode.UNAUTHORISED

    def _find_transport(self) -> Transport:
        """The server's own transport; other servers and TLS endpoints have only ASGI's `send`."""
        transport: Transport | None = getattr(_connection(self.scope), "tcp_transport", None)
        return transport or AsgiTransport(self.base_send)

    async def _is_writable_soon(self) -> bool:
        """Waits for the transport: answers to a client that sends and does not read would accumulate here."""
        until = time.monotonic() + ANSWER_SECONDS
        while not self.transport.writable and time.monotonic() < until and not self._is_closing:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return self.transport.writable

    def _on_drain(self) -> None:
        """The transport is writable again: subscribers that fell behind catch up."""
        for subscription, subscriber in self._subscriptions.values():
            if self._hub is not None and subscriber.state is not SubscriberState.LIVE:
                self._spawn(self._hub.catch_up(subscription.stream, subscriber))

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._is_closing:
            return
        if len(text_data or bytes_data or "") > settings.WEBSOCKET_MAX_MESSAGE_BYTES:
            await self._close(CloseCode.FRAME_TOO_LARGE)
        elif not await self._is_writable_soon():
            await self._close(CloseCode.TOO_SLOW)
        else:
            await self._handle(text_data)

    async def _handle(self, text: str | None) -> None:
        try:
            if wait := self._frames.hit():
                raise ProtocolError(
                    ErrorCode.RATE_LIMITED, f"More than {settings.WEBSOCKET_MESSAGE_RATE} frames; again in {wait:.0f} s"
                )
            await self._answer(_message(text))
        except ProtocolError as bad:
            await self._reject(bad)
        except HubUnavailable as error:
            await self._send(Error(ErrorCode.INTERNAL_ERROR, str(error)).text())

    async def _reject(self, bad: ProtocolError) -> None:
        metrics.WEBSOCKET_INVALID_MESSAGES_TOTAL.labels(bad.code).inc()
        if self._refused.hit():
            await self._close(CloseCode.TOO_MANY_BAD_FRAMES)
        else:
            await self._send(Error(bad.code, bad.message).text())

    def close_with(self, code: CloseCode) -> None:
        self._spawn(self._close(code))

    async def _close(self, code: CloseCode) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        metrics.WEBSOCKET_CLOSED_TOTAL.labels(str(int(code))).inc()
        # A plain int: autobahn takes no IntEnum for a close code.
        await self.close(code=int(code), reason=CLOSES[code])

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
                await self._send_connected()
            case unknown:
                raise ProtocolError(ErrorCode.INVALID_MESSAGE, f"Message type '{unknown[:64]}' is not known")

    async def _subscribe(self, message: ClientMessage) -> None:
        wanted = subscriptions(_channels(message), message.params)
        self._check_values(wanted)
        hub = await self._ready_hub()
        begun = []
        for new in wanted:
            _, replaced = self._subscriptions.get(new.stream.name, (None, None))
            subscriber = hub.subscribe(new, self, replaced)
            self._drop(new.stream.name)
            self._subscriptions[new.stream.name] = (new, subscriber)
            begun.append((new, subscriber))
        await self._send(Subscribed(_unique_channels(message)).text())
        await self._begin(hub, begun)

    def _check_values(self, wanted: list[Subscription]) -> None:
        replaced = {name: old for name, (old, _) in self._subscriptions.items()} | {w.stream.name: w for w in wanted}
        values = sum(subscription.filter.values for subscription in replaced.values())
        if values > settings.WEBSOCKET_MAX_FILTER_VALUES:
            raise ProtocolError(
                ErrorCode.LIMIT_EXCEEDED,
                f"Params name {values:,} coins, addresses, types and whales together; "
                f"{settings.WEBSOCKET_MAX_FILTER_VALUES:,} are the most for a connection",
            )

    async def _begin(self, hub: Hub, begun: list[tuple[Subscription, Subscriber]]) -> None:
        while begun:
            try:
                await hub.start(*begun[0])
            except HubUnavailable as error:
                names = [new.stream.name for new, _ in begun]
                for name in names:
                    self._drop(name)
                raise HubUnavailable(f"Not subscribed to {', '.join(names)}. {error}") from error
            begun.pop(0)

    async def _unsubscribe(self, message: ClientMessage) -> None:
        for stream in _channels(message):
            self._drop(stream.name)
        await self._send(Unsubscribed(_unique_channels(message)).text())

    async def _show_subscriptions(self) -> None:
        shown = {name: subscription.params for name, (subscription, _) in self._subscriptions.items()}
        first = next(iter(shown.values()), {})
        await self._send(Subscriptions(list(shown), first, shown).text())

    async def _send_connected(self) -> None:
        hub = await self._ready_hub()
        reaches = {name: StreamRange(*place) for name, place in hub.places().items()}
        limits = Limits(
            frame_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            frames=settings.WEBSOCKET_MESSAGE_RATE,
            param_values=settings.WEBSOCKET_MAX_FILTER_VALUES,
            snapshot=SNAPSHOT_MAX,
            replay=settings.STREAM_REPLAY_MAX,
        )
        places = {name: hub.place(new.stream, subscriber) for name, (new, subscriber) in self._subscriptions.items()}
        await self._send(Connected(self._client_id, hub.epoch, limits, reaches, places).text())

    async def _ready_hub(self) -> Hub:
        """The hub, once it knows where the streams are; one that could not start is replaced. Raises HubUnavailable."""
        if self._hub is None or self._hub.has_failed:
            if self._hub is not None:
                self._hub.detach(self)
            self._hub = get_hub()
            self._hub.attach(self)
        await self._hub.ready()
        return self._hub

    def _drop(self, name: str) -> None:
        """Ends a subscription, if there is one."""
        subscription, subscriber = self._subscriptions.pop(name, (None, None))
        if subscription is not None and subscriber is not None and self._hub is not None:
            self._hub.unsubscribe(subscription.stream, subscriber)

    def _leave(self) -> None:
        for name in list(self._subscriptions):
            self._drop(name)
        if self._hub is not None:
            metrics.WEBSOCKET_CONNECTIONS.labels(self.transport.kind).dec()
            self.transport.on_drain = None
            self._hub.detach(self)
        key_watcher.unwatch(self)

    async def _send(self, text: str) -> None:
        metrics.count_sent(1, len(text))
        await self.base_send({"type": "websocket.send", "text": text})  # type: ignore[arg-type, misc, unused-ignore]


def _connection(scope: Any) -> Any:
    """The server's own end of it (hyperwatch/server/websocket.py), where the server has one."""
    return (scope.get("extensions") or {}).get("connection")


def _message(text: str | None) -> ClientMessage:
    if text is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Frames are JSON text; this one was binary")
    try:
        return _read(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, f"Not a frame: {error}") from error


def _channels(message: ClientMessage) -> Any:
    if not message.channels:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "'channels' must name at least one channel")
    return named_channels(message.channels)


def _unique_channels(message: ClientMessage) -> list[str]:
    return list(dict.fromkeys(message.channels))


def _origin_allowed(scope: Any) -> bool:
    """Bots send no Origin and are let in; a browser's must be allowed by the settings."""
    origin, allowed = header(scope["headers"], b"origin"), settings.WEBSOCKET_ALLOWED_ORIGINS
    return "*" in allowed or not origin or origin in allowed
