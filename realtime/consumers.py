"""The WebSocket connection of a client: parses its requests, responds, and subscribes to the hub."""

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
from realtime.protocol.subscriptions import MAX_SNAPSHOT_ROWS, Subscription, parse_subscriptions, resolve_channels
from realtime.protocol.vocabulary import (
    ClientFrame,
    ClientMessage,
    CloseCode,
    Connected,
    Error,
    ErrorCode,
    Limits,
    Place,
    Pong,
    ProtocolError,
    StreamRange,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)

log = logging.getLogger(__name__)

# A client that sends requests and reads no frames for this time is disconnected.
WRITABLE_TIMEOUT_SECONDS = 5.0
# Time for `authenticate`, the first frame of a client without `?token=` where reads need a key.
AUTHENTICATE_TIMEOUT_SECONDS = 5.0

_decode_message = msgspec.json.Decoder(ClientMessage).decode


class StreamConsumer(AsyncWebsocketConsumer):
    """The application of `/ws` (docs/api/websocket.md)."""

    # No channel for each connection: the hub alone is a member of the groups, which saves 6 to 8 KB a connection.
    channel_layer_alias = "none"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hub: Hub | None = None
        self._subscriptions: dict[str, tuple[Subscription, Subscriber]] = {}
        self._client_id = ""
        self._is_closing = False
        self._is_open = False
        self._deadline: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._message_rate = FixedWindow(read_rate(settings.WEBSOCKET_MESSAGE_RATE))
        self._invalid_message_rate = FixedWindow(read_rate(settings.WEBSOCKET_INVALID_MESSAGE_RATE))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles messages in one loop. The base class also reads a channel, with one task for each message."""
        self.scope, self.base_send = scope, send
        self._connection = connection = server_connection(scope)
        if connection is not None:
            connection.on_extra_frame = self._count_extra_frame
        with (
            connection_limiter.acquire(client_address(scope)) as self._is_over_limit,
            contextlib.suppress(StopConsumer),
        ):
            try:
                while True:
                    await self.dispatch(await receive())
                    if connection is not None:
                        connection.frame_consumed()
                    # `receive` does not suspend while messages are queued: other clients would wait for all of them.
                    await asyncio.sleep(0)
            finally:
                # `disconnect` is not called after an exception, a killed application or SIGTERM.
                self._release()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # The base class calls a thread for each message to close database connections. This class has none.
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        await self.accept()
        self.transport = self._find_transport()
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        self._client_id = query.get("client_id", [""])[-1][:64] or uuid.uuid4().hex
        token = query.get("token", [""])[-1]
        if self._is_over_limit:
            await self._close(CloseCode.TOO_MANY_CONNECTIONS)
        elif not _origin_allowed(self.scope):
            await self._close(CloseCode.UNAUTHORISED)
        elif not (token or settings.ALLOW_ANONYMOUS_READS):
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(AUTHENTICATE_TIMEOUT_SECONDS, self.close_with, CloseCode.UNAUTHORISED)
        elif await self._authenticate(token) and query.get("hello", [""])[-1] == "1":
            await self._respond(ClientMessage(ClientFrame.HELLO))

    async def _authenticate(self, token: str) -> bool:
        """Opens the connection, or closes it if the token is not valid."""
        self._cancel_deadline()
        try:
            code = None if await can_read(token) else CloseCode.UNAUTHORISED
        except AuthUnavailable:
            code = CloseCode.GOING_AWAY
        if code is not None:
            await self._close(code)
        elif not self._is_closing:
            self._open(token)
        return not self._is_closing

    def _open(self, token: str) -> None:
        if not settings.ALLOW_ANONYMOUS_READS:
            # A later `authenticate` replaces the key.
            key_watcher.watch(self, token)
        if self._is_open:
            return
        self._is_open = True
        self.transport.on_drain = self._on_drain
        metrics.WEBSOCKET_CONNECTIONS.labels(self.transport.kind).inc()
        self._hub = get_hub()
        self._hub.attach(self)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _find_transport(self) -> Transport:
        """The server's own transport; other servers and TLS endpoints only have ASGI's `send`."""
        transport: Transport | None = getattr(server_connection(self.scope), "tcp_transport", None)
        return transport or AsgiTransport(self.base_send)

    async def _is_writable_soon(self) -> bool:
        """Waits for the transport: responses to a client that does not read would accumulate in memory."""
        deadline = time.monotonic() + WRITABLE_TIMEOUT_SECONDS
        while not self.transport.writable and time.monotonic() < deadline and not self._is_closing:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return self.transport.writable

    def _on_drain(self) -> None:
        """The transport is writable again: subscribers that fell behind catch up."""
        for subscription, subscriber in self._subscriptions.values():
            if self._hub is not None and subscriber.state is not SubscriberState.LIVE:
                self._spawn(self._hub.catch_up(subscription.stream, subscriber))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
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
            if wait := self._message_rate.hit():
                raise ProtocolError(
                    ErrorCode.RATE_LIMITED, f"More than {settings.WEBSOCKET_MESSAGE_RATE} frames; again in {wait:.0f} s"
                )
            message = _parse_message(text)
            if not self._is_open and message.type != ClientFrame.AUTHENTICATE:
                raise ProtocolError(ErrorCode.UNAUTHORIZED, "The first frame must be 'authenticate', with the token")
            await self._respond(message)
        except ProtocolError as error:
            await self._reject(error)
        except HubUnavailable as error:
            await self._send(Error(ErrorCode.INTERNAL_ERROR, str(error)).text())

    async def _reject(self, error: ProtocolError) -> None:
        if self._is_abusive(error.code):
            await self._close(CloseCode.TOO_MANY_BAD_FRAMES)
        else:
            await self._send(Error(error.code, error.message).text())
        if not self._is_open:
            await self._close(CloseCode.UNAUTHORISED)

    def _is_abusive(self, code: ErrorCode) -> bool:
        """Counts an invalid frame; True above the limit."""
        metrics.WEBSOCKET_INVALID_MESSAGES_TOTAL.labels(code).inc()
        return self._invalid_message_rate.hit() > 0

    def _count_extra_frame(self) -> None:
        """Counts a control frame or a fragment as a message. Above the limit it is an invalid one."""
        if self._message_rate.hit() and self._is_abusive(ErrorCode.RATE_LIMITED):
            # At once: the task of `close_with` runs after further frames are parsed.
            self._connection.discard_input()
            self.close_with(CloseCode.TOO_MANY_BAD_FRAMES)

    def close_with(self, code: CloseCode) -> None:
        self._spawn(self._close(code))

    async def _close(self, code: CloseCode) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if code is CloseCode.TOO_MANY_BAD_FRAMES and self._connection is not None:
            self._connection.discard_input()
        metrics.WEBSOCKET_CLOSED_TOTAL.labels(str(int(code))).inc()
        # A plain int: Autobahn rejects an IntEnum as close code.
        await self.close(code=int(code), reason=CLOSES[code])

    async def _respond(self, message: ClientMessage) -> None:
        match message.type:
            case ClientFrame.SUBSCRIBE:
                await self._subscribe(message)
            case ClientFrame.UNSUBSCRIBE:
                await self._unsubscribe(message)
            case ClientFrame.PING:
                await self._send(Pong(channels=self._places()).text())
            case ClientFrame.GET_SUBSCRIPTIONS:
                await self._send_subscriptions()
            case ClientFrame.HELLO:
                await self._send_connected()
            case ClientFrame.AUTHENTICATE:
                if await self._authenticate(message.token or ""):
                    await self._send_connected()
            case unknown:
                raise ProtocolError(
                    ErrorCode.INVALID_MESSAGE,
                    f"Message type '{unknown[:64]}' is unknown; send one of {', '.join(ClientFrame)}",
                )

    async def _subscribe(self, message: ClientMessage) -> None:
        requested = parse_subscriptions(_requested_streams(message), message.params)
        self._check_values(requested)
        hub = await self._ready_hub()
        pending = []
        for new in requested:
            _, replaced = self._subscriptions.get(new.stream.name, (None, None))
            subscriber = hub.subscribe(new, self, replaced)
            self._drop(new.stream.name)
            self._subscriptions[new.stream.name] = (new, subscriber)
            pending.append((new, subscriber))
        await self._send(Subscribed(_unique_channels(message)).text())
        await self._start_pending(hub, pending)

    def _check_values(self, requested: list[Subscription]) -> None:
        subscriptions = {name: subscription for name, (subscription, _) in self._subscriptions.items()}
        subscriptions |= {subscription.stream.name: subscription for subscription in requested}
        values = sum(subscription.filter.value_count for subscription in subscriptions.values())
        if values > settings.WEBSOCKET_MAX_FILTER_VALUES:
            raise ProtocolError(
                ErrorCode.LIMIT_EXCEEDED,
                f"Params name {values:,} coins, addresses, types and whales together; "
                f"the limit of a connection is {settings.WEBSOCKET_MAX_FILTER_VALUES:,}",
            )

    async def _start_pending(self, hub: Hub, pending: list[tuple[Subscription, Subscriber]]) -> None:
        while pending:
            try:
                await hub.start(*pending[0])
            except HubUnavailable as error:
                names = [new.stream.name for new, _ in pending]
                for name in names:
                    self._drop(name)
                raise HubUnavailable(f"Not subscribed to {', '.join(names)}. {error}") from error
            pending.pop(0)

    async def _unsubscribe(self, message: ClientMessage) -> None:
        for stream in _requested_streams(message):
            self._drop(stream.name)
        await self._send(Unsubscribed(_unique_channels(message)).text())

    async def _send_subscriptions(self) -> None:
        params = {name: subscription.params for name, (subscription, _) in self._subscriptions.items()}
        first = next(iter(params.values()), {})
        await self._send(Subscriptions(list(params), first, params).text())

    async def _send_connected(self) -> None:
        hub = await self._ready_hub()
        ranges = {name: StreamRange(*position) for name, position in hub.positions().items()}
        limits = Limits(
            frame_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            frames=settings.WEBSOCKET_MESSAGE_RATE,
            param_values=settings.WEBSOCKET_MAX_FILTER_VALUES,
            snapshot=MAX_SNAPSHOT_ROWS,
            replay=settings.STREAM_REPLAY_MAX,
        )
        places = {name: place.seq for name, place in self._places().items()}
        await self._send(Connected(self._client_id, hub.epoch, limits, ranges, places).text())

    def _places(self) -> dict[str, Place]:
        """The position of each subscription. No await until it is sent: a frame may not come in between."""
        if self._hub is None:
            return {}
        return {
            name: Place(self._hub.position_of(subscription.stream, subscriber))
            for name, (subscription, subscriber) in self._subscriptions.items()
        }

    async def _ready_hub(self) -> Hub:
        """The hub once it is started; replaces one that failed to start. Raises HubUnavailable."""
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

    def _release(self) -> None:
        for name in list(self._subscriptions):
            self._drop(name)
        if self._hub is not None:
            metrics.WEBSOCKET_CONNECTIONS.labels(self.transport.kind).dec()
            self.transport.on_drain = None
            self._hub.detach(self)
        if self._connection is not None:
            self._connection.on_extra_frame = None
        self._cancel_deadline()
        key_watcher.unwatch(self)

    async def _send(self, text: str) -> None:
        metrics.count_sent(1, len(text))
        await self.base_send({"type": "websocket.send", "text": text})  # type: ignore[arg-type, misc, unused-ignore]


def server_connection(scope: Any) -> Any:
    """The connection object of our own server (hyperwatch/server/websocket.py); None with other servers."""
    return (scope.get("extensions") or {}).get("connection")


def _parse_message(text: str | None) -> ClientMessage:
    if text is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Binary frames are not accepted; send JSON as a text frame")
    try:
        return _decode_message(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, f"The frame is no valid request: {error}") from error


def _requested_streams(message: ClientMessage) -> Any:
    if not message.channels:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "'channels' must name at least one channel")
    return resolve_channels(message.channels)


def _unique_channels(message: ClientMessage) -> list[str]:
    return list(dict.fromkeys(message.channels or ()))


def _origin_allowed(scope: Any) -> bool:
    """Accepts connections without an Origin; a browser's must be in WEBSOCKET_ALLOWED_ORIGINS."""
    origin, allowed = header(scope["headers"], b"origin"), settings.WEBSOCKET_ALLOWED_ORIGINS
    return "*" in allowed or not origin or origin in allowed
