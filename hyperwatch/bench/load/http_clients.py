"""HTTP clients that ask again as soon as they are answered, over connections that stay, in one loop."""

import re
import select
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError

LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
PATIENCE = 30.0


class HttpLoadResult(NamedTuple):
    """What was answered, with 200 and whole, in how many seconds."""

    answers: int
    seconds: float


class HttpLoad:
    """`clients` of the server at `port`; `urls` has one for each request, and no end."""

    def __init__(self, port: int, clients: int, urls: Iterator[str]) -> None:
        self._port = port
        self._clients = clients
        self._urls = urls

    def run(self, seconds: float) -> HttpLoadResult:
        epoll = select.epoll()
        connections = {}
        for _ in range(self._clients):
            one = _Connection(self._port)
            connections[one.socket.fileno()] = one
            epoll.register(one.socket, select.EPOLLIN)
            one.ask(next(self._urls))
        answers, began = 0, time.monotonic()
        try:
            while (now := time.monotonic()) < began + seconds:
                answers += self._hear(epoll, connections)
        finally:
            epoll.close()
            for one in connections.values():
                one.socket.close()
        return HttpLoadResult(answers, now - began)

    def _hear(self, epoll: select.epoll, connections: "dict[int, _Connection]") -> int:
        events = epoll.poll(PATIENCE)
        if not events:
            raise CannotMeasureError(f"the server at {self._port} answers no more")
        answered = [connections[fd] for fd, _ in events if connections[fd].is_answered()]
        for one in answered:
            one.ask(next(self._urls))
        return len(answered)


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = bytearray()
        self._asked = ""

    def ask(self, url: str) -> None:
        self._heard.clear()
        self._asked = url
        self.socket.sendall(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n".encode())

    def is_answered(self) -> bool:
        """Whether what has come by now is the whole answer."""
        came = self.socket.recv(1024 * 1024)
        self._heard += came
        head = self._heard.find(b"\r\n\r\n")
        length = LENGTH.search(self._heard, 0, max(head, 0))
        if not came or (head >= 0 and not (length and self._heard.startswith(b"HTTP/1.1 200"))):
            raise CannotMeasureError(f"{self._asked} was answered: {bytes(self._heard[:500])!r}")
        return length is not None and len(self._heard) >= head + 4 + int(length[1])
