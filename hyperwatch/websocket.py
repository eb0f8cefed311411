"""Daphne's end of a WebSocket, where it falls short of the contract.

Three things are ours: an outlet, which knows whether a client is behind and costs a fraction of Twisted's write;
the close codes that a server may say; and being told of a broken frame before being cut off. It relies on
insides of Autobahn and Twisted: `sendData`, through which every byte of a connection passes, and pull producers.
"""

import socket
from collections.abc import Callable
from typing import Any

from daphne.server import WebSocketFactory
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import tcp

# Autobahn takes only 1000 and 3000 to 4999 from an application; RFC 6455, 7.4.1 lets a server say these too.
SERVER_CODES = {1001, 1009, 1012}
# What a client that does not read has waiting in the kernel. The kernel's own choice hides megabytes of stale frames.
KERNEL_BYTES = 128 * 1024
# A client that never reads never answers a close either.
CLOSE_SECONDS = 5.0


class Outlet:
    """A plain TCP connection's way out: into the socket while nothing waits, else into Twisted's buffer.

    `transport.write` never sends at once, which costs a turn of the reactor for each write. While bytes wait we
    are the transport's pull producer: it calls when its buffer is empty, which is when there is room again.
    """

    def __init__(self, transport: Any, on_room: Callable[[], None]) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.getHandle()
        self._on_room = on_room
        self._is_registering = False
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        # The HTTP channel is still registered after the upgrade, and its answer still waits.
        transport.unregisterProducer()
        self._wait_for_room()

    def write(self, data: bytes) -> None:
        if not self.has_room or self._transport.disconnecting:
            self._transport.write(data)
            return
        try:
            sent = self._socket.send(data)
        except OSError:
            # Full, or broken: Twisted finds out which.
            sent = 0
        if sent < len(data):
            self._transport.write(data[sent:])
            self._wait_for_room()

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
        self.has_room = True
        self._on_room()

    def stopProducing(self) -> None:  # noqa: N802
        self.has_room = False


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    """A connection. Whoever writes to it in order writes by `push`; what goes by `send` takes the same way."""

    outlet: Outlet | None = None
    on_room: Callable[[], None] | None = None

    @property
    def has_room(self) -> bool:
        return self.outlet is None or self.outlet.has_room

    def push(self, frames: bytes) -> bool:
        """Writes finished frames; False where there is no such way, and `send` must be used."""
        if self.outlet is None:
            return False
        # After a close nothing may follow.
        if self.state == self.STATE_OPEN:
            self.outlet.write(frames)
        return True

    def onOpen(self) -> None:  # noqa: N802 (Autobahn's names)
        # By type: a TLS transport has the attributes too, and would be written past.
        if isinstance(self.transport, tcp.Connection) and not self.transport.TLS:
            self.outlet = Outlet(self.transport, self._room)
        super().onOpen()

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        if self.outlet is None or sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.outlet.write(data)

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 (daphne's name)
        if code in SERVER_CODES:
            self.sendCloseFrame(code=code, isReply=False)
        else:
            super().serverClose(code)

    def _room(self) -> None:
        if self.on_room is not None:
            self.on_room()


def with_our_protocol(factory: WebSocketFactory) -> WebSocketFactory:
    factory.protocol = WebSocket
    # A client that breaks the protocol is told how (1002, 1007, 1009) and not just cut off.
    factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=CLOSE_SECONDS)
    return factory
