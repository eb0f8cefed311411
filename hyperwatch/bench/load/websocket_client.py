"""One WebSocket client of the load generator: connect, upgrade, subscribe, close."""

import select
import socket
from array import array
from collections.abc import Callable
from typing import Protocol

from hyperwatch.bench.load.framing import PONG, TEXT, header, masked


class FrameSink(Protocol):
    epoll: select.epoll
    upgrade_request: bytes

    def reader(self, client: "LoadConnection") -> Callable[[], None]: ...
    def on_subscribed(self, client: "LoadConnection") -> None: ...
    def on_closed(self, client: "LoadConnection", reason: str) -> None: ...


class LoadConnection:
    """`on_ready` is the callback for an event of epoll; each state of the connection sets the next one."""

    def __init__(self, worker: FrameSink, port: int, subscribe: bytes) -> None:
        self.worker = worker
        self._subscribe = subscribe
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.on_ready: Callable[[], None] = self._on_connected
        # The offset in the expected bytes, and the received bytes of an incomplete frame.
        self.offset = 0
        self.rest = b""
        # For timed clients: the time and the offset after each read.
        self.times: array[float] | None = None
        self.offsets: array[int] | None = None
        self.socket.connect_ex(("127.0.0.1", port))

    def _on_connected(self) -> None:
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close("refused")
            return
        self.socket.send(self.worker.upgrade_request)
        self.on_ready = self._read_upgrade
        self.worker.epoll.modify(self.fd, select.EPOLLIN)

    def _read_upgrade(self) -> None:
        self._receive()
        head, separator, rest = self.rest.partition(b"\r\n\r\n")
        if not separator:
            return
        if b" 101 " not in head.split(b"\r\n")[0]:
            self.close("refused")
            return
        self.rest = rest
        if self._subscribe:
            self.socket.send(masked(TEXT, self._subscribe))
            self.on_ready = self._read_subscribed
        else:
            self._start_reading()

    def _read_subscribed(self) -> None:
        self._receive()
        frame = header(self.rest)
        if frame is not None and frame[1] + frame[2] <= len(self.rest):
            self.rest = self.rest[frame[1] + frame[2] :]
            self._start_reading()

    def _start_reading(self) -> None:
        self.on_ready = self.worker.reader(self)
        self.worker.on_subscribed(self)

    def _receive(self) -> None:
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.close(type(error).__name__)
            return
        if not data:
            self.close("end of file")
        self.rest += data

    def pong(self, ping: bytes) -> None:
        self.socket.send(masked(PONG, ping[2:]))

    def close(self, reason: str) -> None:
        self.worker.on_closed(self, reason)
        self.rest = b""
        self.socket.close()
