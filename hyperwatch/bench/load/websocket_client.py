"""One WebSocket client of a swarm: how it comes, and how it goes."""

import select
import socket
from array import array
from collections.abc import Callable
from typing import Protocol

from hyperwatch.bench.load.framing import PONG, TEXT, header, masked


class FrameSink(Protocol):
    epoll: select.epoll
    greeting: bytes
    subscribe: bytes

    def hearing(self, client: "LoadConnection") -> Callable[[], None]: ...
    def has_come(self, client: "LoadConnection") -> None: ...
    def has_gone(self, client: "LoadConnection", how: str) -> None: ...


class LoadConnection:
    """`hear` is what is to be done when there is something to read."""

    def __init__(self, swarm: FrameSink, port: int) -> None:
        self.swarm = swarm
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.hear: Callable[[], None] = self._greet
        # How much of the tape it has, and what came behind that and is not whole.
        self.at = 0
        self.rest = b""
        # When it had how much of the tape; only of those who are timed.
        self.times: array[float] | None = None
        self.places: array[int] | None = None
        self.socket.connect_ex(("127.0.0.1", port))

    def _greet(self) -> None:
        """The connection stands, or never will."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.end("refused")
            return
        self.socket.send(self.swarm.greeting)
        self.hear = self._shake_hands
        self.swarm.epoll.modify(self.fd, select.EPOLLIN)

    def _shake_hands(self) -> None:
        self._more()
        answer, found, rest = self.rest.partition(b"\r\n\r\n")
        if not found:
            return
        if b" 101 " not in answer.split(b"\r\n")[0]:
            self.end("refused")
            return
        self.rest = rest
        if self.swarm.subscribe:
            self.socket.send(masked(TEXT, self.swarm.subscribe))
            self.hear = self._await_answer
        else:
            self._begin()

    def _await_answer(self) -> None:
        self._more()
        found = header(self.rest)
        if found is not None and found[1] + found[2] <= len(self.rest):
            self.rest = self.rest[found[1] + found[2] :]
            self._begin()

    def _begin(self) -> None:
        self.hear = self.swarm.hearing(self)
        self.swarm.has_come(self)

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.end(type(error).__name__)
            return
        if not data:
            self.end("end of file")
        self.rest += data

    def answer(self, ping: bytes) -> None:
        self.socket.send(masked(PONG, ping[2:]))

    def end(self, how: str) -> None:
        self.swarm.has_gone(self, how)
        self.rest = b""
        self.socket.close()
