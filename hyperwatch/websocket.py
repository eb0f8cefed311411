"""Daphne's end of a WebSocket, where it falls short of the contract.

What is ours: an outlet, which knows whether a client is behind and costs a fraction of Twisted's write; reading
that stops where a client sends faster than it is answered; compression; the close codes that a server may say; and
telling of a broken frame before cutting off. It relies on insides of Autobahn and Twisted: `sendData`, through
which every byte of a connection passes, and pull producers. Where they are not found there is no outlet, and
consumers send the plain way.
"""

import socket
from asyncio import Queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from daphne.server import WebSocketFactory
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings
from twisted.internet import tcp

from hyperwatch.formats import DEFLATE_WINDOW

# Autobahn takes only 1000 and 3000 to 4999 from an application; RFC 6455, 7.4.1 lets a server say these too.
SERVER_CODES = {1001, 1009, 1012}
# What a client that does not read has waiting in the kernel. The kernel's own choice hides megabytes of stale frames.
KERNEL_BYTES = 128 * 1024
# A client that never reads never answers a close either.
CLOSE_SECONDS = 5.0
# What an outlet hangs on. A version that has it no more costs speed and nothing else.
INSIDES = (
    (WebSocketProtocol, "sendData"),
    (WebSocketProtocol, "sendCloseFrame"),
    (tcp.Connection, "getHandle"),
    (tcp.Connection, "registerProducer"),
)
# Frames that wait to be answered; a client that sends more is not read meanwhile.
MOST_WAITING = 16


class Written(Protocol):
    """Finished frames as they go over the wire."""

    wire: bytes


class Outlet:
    """A plain TCP connection's way out: into the socket while nothing waits, else into Twisted's buffer.

    `transport.write` never sends at once, which costs a turn of the reactor for each write. While bytes wait we
    are the transport's pull producer: it calls when its buffer is empty, which is when there is room again.
    """

    __slots__ = ("_is_closed", "_is_registering", "_send", "_transport", "has_room", "is_compressed", "on_room", "pong")

    way = "direct"

    def __init__(self, transport: Any, *, is_compressed: bool) -> None:
        handle: socket.socket = transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self.is_compressed = is_compressed
        self.on_room: Callable[[], None] | None = None
        # What waits for room, the newest in place of all.
        self.pong: Callable[[], None] | None = None
        self._transport = transport
        self._send: Callable[[bytes], int] = handle.send
        self._is_registering = self._is_closed = False
        # The HTTP channel is still registered after the upgrade, and its answer still waits.
        transport.unregisterProducer()
        self._wait_for_room()

    def push(self, chunk: Written) -> None:
        """Writes finished frames; after a close nothing may follow."""
        if self.has_room or not self._is_closed:
            self.write(chunk.wire)

    def write(self, data: bytes) -> None:
        if not self.has_room:
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            # Full, or broken: Twisted finds out which.
            sent = 0
        if sent < len(data):
            self._transport.write(data[sent:])
            self._wait_for_room()

    def close(self) -> None:
        self._is_closed, self.has_room = True, False

    def end(self) -> None:
        """The connection is gone: what is written goes nowhere, and nobody is to wait for room."""
        self._send, self.has_room, self.pong = len, True, None

    def _wait_for_room(self) -> None:
        self.has_room = False
        # A pull producer is called at once, before anything has left.
        self._is_registering = True
        self._transport.registerProducer(self, False)
        self._is_registering = False

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's names)
        if self._is_registering:
            return
        self._transport.unregisterProducer()
        if not self._is_closed:
            self.has_room = True
            pong, self.pong = self.pong, None
            if pong is not None:
                pong()
            if self.has_room and self.on_room is not None:
                self.on_room()

    def stopProducing(self) -> None:  # noqa: N802
        self.close()


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    """A connection. Whoever writes to it in order writes by its outlet; what goes by `send` takes the same way."""

    outlet: Outlet | None = None
    _is_paused = False
    _cutting_off: Any = None

    def onConnect(self, request: ConnectionRequest) -> Any:  # noqa: N802 (Autobahn's names)
        # Daphne reads it as ASCII, and logs a traceback where a stranger sent something else.
        if not request.headers.get("sec-websocket-protocol", "").isascii():
            raise ConnectionDeny(400, "Sec-WebSocket-Protocol is not ASCII")  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onOpen(self) -> None:  # noqa: N802
        # By type: a TLS transport has the attributes too, and would be written past.
        is_plain = isinstance(self.transport, tcp.Connection) and not self.transport.TLS
        if is_plain and all(hasattr(of, name) for of, name in INSIDES):
            self.outlet = Outlet(self.transport, is_compressed=self._perMessageCompress is not None)
        super().onOpen()

    def onFrameData(self, payload: bytes) -> bool | None:  # noqa: N802
        goes_on: bool | None = super().onFrameData(payload)
        if goes_on is False:
            # What cannot be inflated leaves Autobahn in the middle of a frame, where it would not see the client's
            # close: it has said why, and goes.
            self.dropConnection()
        return goes_on

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
        # What comes between our close and the client's answer concerns nobody any more.
        if self.state != self.STATE_OPEN:
            return
        super().onMessage(payload, isBinary)
        if not self._is_paused and self._waiting().qsize() >= MOST_WAITING:
            self._is_paused = True
            self.transport.pauseProducing()

    def onPing(self, payload: bytes) -> None:  # noqa: N802
        if self.outlet is None or self.outlet.has_room:
            super().onPing(payload)
        else:
            # Of pings that outrun their pongs the newest is answered (RFC 6455, 5.5.3); the others would pile up.
            self.outlet.pong = partial(super().onPing, payload)

    def taken(self) -> None:
        """A frame was taken out of the queue of those that wait."""
        if self._is_paused and self._waiting().empty():
            self._is_paused = False
            self.transport.resumeProducing()

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        # A close may come while an answer is made; Autobahn would raise, and the application end with a traceback.
        if self.state == self.STATE_OPEN:
            # Autobahn would keep a compressor of 40 to 240 KB for the connection's answers.
            super().sendMessage(payload, isBinary, **{**options, "doNotCompress": True})

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        if self.outlet is None or sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.outlet.write(data)

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:  # noqa: N802
        super().sendCloseFrame(*args, **options)
        self._end()

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
        self._end()
        if self.outlet is not None:
            self.outlet.end()
        if self._cutting_off is not None and self._cutting_off.active():
            self._cutting_off.cancel()
        super().onClose(wasClean, code, reason)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        super().connectionLost(reason)
        # Autobahn resolves it with the connection, which so would hold itself until a full collection.
        self.is_closed = None

    def dropConnection(self, abort: bool = False) -> None:  # noqa: N802
        # After a close handshake too Autobahn resets the connection, by which what was sent last may be lost;
        # RFC 6455, 7.1.1 asks for a clean end.
        super().dropConnection(abort and not self.wasClean)
        if self._cutting_off is None:
            # Who does not read would hold up a clean end for ever.
            self._cutting_off = self.transport.reactor.callLater(CLOSE_SECONDS, self.transport.abortConnection)

    def _end(self) -> None:
        """Nothing is sent any more: what waits to be answered would wait for room that never comes."""
        if self.outlet is not None:
            self.outlet.close()
            while not self._waiting().empty():
                self._waiting().get_nowait()
            self.taken()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            self.serverClose(message.get("code"), message.get("reason") or None)
        else:
            super().handle_reply(message)

    def serverClose(self, code: int | None = None, reason: str | None = None) -> None:  # noqa: N802 (daphne's name)
        if code in SERVER_CODES:
            self.sendCloseFrame(code, reason.encode() if reason else None)
        else:
            self.sendClose(code or 1000, reason)

    def _waiting(self) -> Queue[dict[str, Any]]:
        queue: Queue[dict[str, Any]] = self.application_queue
        return queue


def with_our_protocol(factory: WebSocketFactory) -> WebSocketFactory:
    factory.protocol = WebSocket
    # A client that breaks the protocol is told how (1002, 1007, 1009) and not just cut off. RFC 6455 knows one
    # version, 13 (4.1), and a close that is answered with its code (5.5.1).
    factory.setProtocolOptions(
        failByDrop=False, closeHandshakeTimeout=CLOSE_SECONDS, versions=[13], echoCloseCodeReason=True
    )
    if settings.WEBSOCKET_COMPRESSION:
        factory.setProtocolOptions(perMessageCompressionAccept=accept_deflate)
    return factory


def accept_deflate(offers: Sequence[Any]) -> Any:
    """The first offer of permessage-deflate that can be met by frames that refer to none before them."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits in (
            0,
            *range(DEFLATE_WINDOW, 16),
        ):
            return PerMessageDeflateOfferAccept(  # type: ignore[no-untyped-call]
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                no_context_takeover=True,
                window_bits=DEFLATE_WINDOW,
                max_message_size=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            )
    return None
