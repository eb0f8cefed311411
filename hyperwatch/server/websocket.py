"""WebSocket connections for daphne, extended to what the contract needs.

- `TcpTransport` reports backpressure and costs a fraction of Twisted's `write`.
- Reading is paused while a client sends faster than its frames are parsed or processed (websocket_input.py).
- permessage-deflate compression, and the close codes that RFC 6455 reserves for servers.
- A close frame with the reason precedes the end of a connection that violates the protocol.

TcpTransport relies on internals of Autobahn and Twisted: `sendData`, which every outgoing byte passes, and pull
producers. If they are missing, consumers use ASGI's `send`.
"""

import socket
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
from hyperwatch.server.websocket_input import BoundedInput

# Autobahn accepts only 1000 and 3000 to 4999 from an application. RFC 6455, 7.4.1 lets a server send these too.
SERVER_CLOSE_CODES = {1001, 1009, 1012}
# SO_SNDBUF. With the kernel's default, megabytes of stale frames are queued for a client that does not read.
SEND_BUFFER_BYTES = 128 * 1024
# A client that does not read never replies to a close frame.
CLOSE_TIMEOUT_SECONDS = 5.0
# The internals that TcpTransport needs. Without them only speed is lost.
REQUIRED_INTERNALS = (
    (WebSocketProtocol, "sendData"),
    (WebSocketProtocol, "sendCloseFrame"),
    (tcp.Connection, "getHandle"),
    (tcp.Connection, "registerProducer"),
)


class PreparedFrames(Protocol):
    """Encoded frames; `wire` is their bytes."""

    wire: bytes


class TcpTransport:
    """The outgoing side of a plain TCP connection: writes to the socket, or to Twisted's buffer while it is not empty.

    Twisted's `transport.write` never sends at once, which costs a reactor turn for each write. While bytes are
    buffered, this object is Twisted's pull producer: Twisted calls it when the buffer is empty.
    """

    __slots__ = (
        "_is_closed", "_is_registering", "_send", "_transport", "is_compressed", "on_drain", "pong", "writable",
    )  # fmt: skip

    kind = "direct"

    def __init__(self, transport: Any, *, is_compressed: bool) -> None:
        handle: socket.socket = transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.is_compressed = is_compressed
        self.on_drain: Callable[[], None] | None = None
        # Sends the pong for the latest ping once the transport is writable.
        self.pong: Callable[[], None] | None = None
        self._transport = transport
        self._send: Callable[[bytes], int] = handle.send
        self._is_registering = self._is_closed = False
        # After the upgrade the HTTP channel is still registered, and the handshake response is still buffered.
        transport.unregisterProducer()
        self._wait_for_drain()

    def push(self, batch: PreparedFrames) -> None:
        """Writes encoded frames; discards them after a close frame."""
        if self.writable or not self._is_closed:
            self.write(batch.wire)

    def write(self, data: bytes) -> None:
        if not self.writable:
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            # The socket buffer is full or the connection is broken: Twisted's write handles both.
            sent = 0
        if sent < len(data):
            self._transport.write(data[sent:])
            self._wait_for_drain()

    def close(self) -> None:
        self._is_closed, self.writable = True, False

    def end(self) -> None:
        """The connection is closed: writes are discarded; it stays writable so that no caller waits."""
        self._send, self.writable, self.pong = len, True, None

    def _wait_for_drain(self) -> None:
        self.writable = False
        # registerProducer calls a pull producer immediately, before any byte is sent.
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


class WebSocket(BoundedInput):
    """A connection. All writes pass its transport, those of ASGI's `send` too, which preserves their order."""

    tcp_transport: TcpTransport | None = None

    def onConnect(self, request: ConnectionRequest) -> Any:  # noqa: N802 (Autobahn's names)
        # Daphne decodes the header as ASCII and logs a traceback for other bytes.
        if not request.headers.get("sec-websocket-protocol", "").isascii():
            raise ConnectionDeny(400, "Sec-WebSocket-Protocol is not ASCII")  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onOpen(self) -> None:  # noqa: N802
        # Checks the type: a TLS transport has the attributes too, and direct writes would bypass its encryption.
        is_plain = isinstance(self.transport, tcp.Connection) and not self.transport.TLS
        if is_plain and all(hasattr(owner, name) for owner, name in REQUIRED_INTERNALS):
            self.tcp_transport = TcpTransport(self.transport, is_compressed=self._perMessageCompress is not None)
        super().onOpen()

    def onFrameData(self, payload: bytes) -> bool | None:  # noqa: N802
        is_valid: bool | None = super().onFrameData(payload)
        if is_valid is False:
            # After a decompression error Autobahn stays in the middle of a frame and would miss the client's
            # close frame. The close frame with the reason is sent already.
            self.dropConnection()
        return is_valid

    def onPing(self, payload: bytes) -> None:  # noqa: N802
        if self.tcp_transport is None or self.tcp_transport.writable:
            super().onPing(payload)
        else:
            # Only the latest of several pings needs a pong (RFC 6455, 5.5.3); pongs for all would accumulate.
            self.tcp_transport.pong = partial(super().onPing, payload)

    def sendMessage(self, payload: bytes, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        # A close may arrive before the reply is sent: Autobahn would raise, with a traceback in the log.
        if self.state == self.STATE_OPEN:
            # Otherwise Autobahn allocates a compressor of 40 to 240 KB for each connection.
            super().sendMessage(payload, isBinary, **{**options, "doNotCompress": True})

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        if self.tcp_transport is None or sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.tcp_transport.write(data)

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:  # noqa: N802
        super().sendCloseFrame(*args, **options)
        self._stop_sending()

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
        self._stop_sending()
        if self.tcp_transport is not None:
            self.tcp_transport.end()
        if self._abort_timer is not None and self._abort_timer.active():
            self._abort_timer.cancel()
        super().onClose(wasClean, code, reason)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        super().connectionLost(reason)
        # Autobahn resolves this Deferred with the connection itself: a cycle until a full garbage collection.
        self.is_closed = None

    def dropConnection(self, abort: bool = False) -> None:  # noqa: N802
        # Autobahn resets the connection even after a close handshake, which may discard the last frames.
        # RFC 6455, 7.1.1 requires a clean TCP close.
        super().dropConnection(abort and not self.wasClean)
        if self._abort_timer is None:
            # A client that does not read would delay the clean close without limit.
            self._abort_timer = self.transport.reactor.callLater(CLOSE_TIMEOUT_SECONDS, self.transport.abortConnection)

    def _stop_sending(self) -> None:
        """Closes the transport and discards queued messages, which would wait for a writable transport forever."""
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
        if code in SERVER_CLOSE_CODES:
            self.sendCloseFrame(code, reason.encode() if reason else None)
        else:
            self.sendClose(code or 1000, reason)


def configure_factory(factory: WebSocketFactory) -> WebSocketFactory:
    factory.protocol = WebSocket
    # failByDrop=False: a protocol violation is answered with a close code (1002, 1007, 1009) before the disconnect.
    # RFC 6455 has one version, 13 (4.1), and a close frame is answered with its code (5.5.1).
    factory.setProtocolOptions(
        failByDrop=False, closeHandshakeTimeout=CLOSE_TIMEOUT_SECONDS, versions=[13], echoCloseCodeReason=True
    )
    if settings.WEBSOCKET_COMPRESSION:
        factory.setProtocolOptions(perMessageCompressionAccept=accept_deflate)
    return factory


def accept_deflate(offers: Sequence[Any]) -> Any:
    """Accepts the first permessage-deflate offer that allows frames compressed independently of each other."""
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
