"""Daphne's end of a WebSocket, where it falls short of the contract.

It adds a transport that knows whether a client is behind and costs a fraction of Twisted's write; reading that
stops while a client sends faster than it is answered; compression; the close codes that RFC 6455 reserves for
servers; and an error frame before the connection of a client that breaks the protocol is cut. It relies on internals
of Autobahn and Twisted: `sendData`, through which every byte of a connection passes, and pull producers. Without
them there is no such transport, and consumers use ASGI's `send`.
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

from hyperwatch.formats import DEFLATE_WINDOW_BITS

# Autobahn takes only 1000 and 3000 to 4999 from an application; RFC 6455, 7.4.1 lets a server say these too.
SERVER_CODES = {1001, 1009, 1012}
# What a client that does not read has waiting in the kernel. The kernel's own choice hides megabytes of stale frames.
KERNEL_BYTES = 128 * 1024
# A client that never reads never answers a close either.
CLOSE_SECONDS = 5.0
# The internals that TcpTransport needs. A version without them costs speed and nothing else.
INTERNALS = (
    (WebSocketProtocol, "sendData"),
    (WebSocketProtocol, "sendCloseFrame"),
    (tcp.Connection, "getHandle"),
    (tcp.Connection, "registerProducer"),
)
# Frames that wait to be answered; a client that sends more is not read meanwhile.
MOST_WAITING = 16


class PreparedFrames(Protocol):
    """Encoded frames as they are sent."""

    wire: bytes


class TcpTransport:
    """The outgoing side of a plain TCP connection: writes to the socket, or to Twisted's buffer while that has bytes.

    Twisted's `transport.write` never sends at once, which costs a turn of the reactor for each write. While bytes
    are buffered this is Twisted's pull producer: it is called when the buffer is empty, and is writable again.
    """

    __slots__ = (
        "_is_closed", "_is_registering", "_send", "_transport", "is_compressed", "on_drain", "pong", "writable",
    )  # fmt: skip

    kind = "direct"

    def __init__(self, transport: Any, *, is_compressed: bool) -> None:
        handle: socket.socket = transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self.is_compressed = is_compressed
        self.on_drain: Callable[[], None] | None = None
        # The latest ping that is answered once the transport is writable, in place of all of them.
        self.pong: Callable[[], None] | None = None
        self._transport = transport
        self._send: Callable[[bytes], int] = handle.send
        self._is_registering = self._is_closed = False
        # The HTTP channel is still registered after the upgrade, and its answer still waits.
        transport.unregisterProducer()
        self._wait_for_drain()

    def push(self, batch: PreparedFrames) -> None:
        """Writes encoded frames; after a close frame no other may follow."""
        if self.writable or not self._is_closed:
            self.write(batch.wire)

    def write(self, data: bytes) -> None:
        if not self.writable:
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            # Full or broken: Twisted finds out which.
            sent = 0
        if sent < len(data):
            self._transport.write(data[sent:])
            self._wait_for_drain()

    def close(self) -> None:
        self._is_closed, self.writable = True, False

    def end(self) -> None:
        """The connection is gone: writes are discarded, and it stays writable so that no caller waits for it."""
        self._send, self.writable, self.pong = len, True, None

    def _wait_for_drain(self) -> None:
        self.writable = False
        # Registering calls a pull producer at once, before any byte was sent.
        self._is_registering = True
        self._transport.registerProducer(self, False)
        self._is_registering = False

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's names)
        if self._is_registering:
            return
        self._transport.unregisterProducer()
        if not self._is_closed:
            self.writable = True
            pong, self.pong = self.pong, None
            if pong is not None:
                pong()
            if self.writable and self.on_drain is not None:
                self.on_drain()

    def stopProducing(self) -> None:  # noqa: N802
        self.close()


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    """A connection. All writes pass its transport, also those of ASGI's `send`, so that they stay in order."""

    tcp_transport: TcpTransport | None = None
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
        if is_plain and all(hasattr(of, name) for of, name in INTERNALS):
            self.tcp_transport = TcpTransport(self.transport, is_compressed=self._perMessageCompress is not None)
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
        if not self._is_paused and self._receive_queue().qsize() >= MOST_WAITING:
            self._is_paused = True
            self.transport.pauseProducing()

    def onPing(self, payload: bytes) -> None:  # noqa: N802
        if self.tcp_transport is None or self.tcp_transport.writable:
            super().onPing(payload)
        else:
            # Of pings that outrun their pongs the newest is answered (RFC 6455, 5.5.3); the others would pile up.
            self.tcp_transport.pong = partial(super().onPing, payload)

    def frame_consumed(self) -> None:
        """A frame was taken out of the queue of those that wait."""
        if self._is_paused and self._receive_queue().empty():
            self._is_paused = False
            self.transport.resumeProducing()

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        # A close may come while an answer is made; Autobahn would raise, and the application end with a traceback.
        if self.state == self.STATE_OPEN:
            # Autobahn would keep a compressor of 40 to 240 KB for the connection's answers.
            super().sendMessage(payload, isBinary, **{**options, "doNotCompress": True})

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        if self.tcp_transport is None or sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.tcp_transport.write(data)

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:  # noqa: N802
        super().sendCloseFrame(*args, **options)
        self._end()

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
        self._end()
        if self.tcp_transport is not None:
            self.tcp_transport.end()
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
        if self.tcp_transport is not None:
            self.tcp_transport.close()
            while not self._receive_queue().empty():
                self._receive_queue().get_nowait()
            self.frame_consumed()

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

    def _receive_queue(self) -> Queue[dict[str, Any]]:
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
            *range(DEFLATE_WINDOW_BITS, 16),
        ):
            return PerMessageDeflateOfferAccept(  # type: ignore[no-untyped-call]
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                no_context_takeover=True,
                window_bits=DEFLATE_WINDOW_BITS,
                max_message_size=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            )
    return None
