"""Closed-loop HTTP clients: each sends its next request after a response, over persistent connections."""

import re
import select
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError

CONTENT_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
RESPONSE_TIMEOUT_SECONDS = 30.0


class HttpLoadResult(NamedTuple):
    """Complete responses with status 200, and the elapsed seconds."""

    responses: int
    seconds: float


class HttpLoad:
    """`clients` connections to the server at `port`; `urls` is an endless iterator."""

    def __init__(self, port: int, clients: int, urls: Iterator[str]) -> None:
        self._port = port
        self._clients = clients
        self._urls = urls

    def run(self, seconds: float) -> HttpLoadResult:
        epoll = select.epoll()
        connections = {}
        for _ in range(self._clients):
            connection = _HttpConnection(self._port)
            connections[connection.socket.fileno()] = connection
            epoll.register(connection.socket, select.EPOLLIN)
            connection.send(next(self._urls))
        responses, started = 0, time.monotonic()
        try:
            while (now := time.monotonic()) < started + seconds:
                responses += self._poll(epoll, connections)
        finally:
            epoll.close()
            for connection in connections.values():
                connection.socket.close()
        return HttpLoadResult(responses, now - started)

    def _poll(self, epoll: select.epoll, connections: "dict[int, _HttpConnection]") -> int:
        events = epoll.poll(RESPONSE_TIMEOUT_SECONDS)
        if not events:
            raise CannotMeasureError(
                f"the server on port {self._port} sent no response for {RESPONSE_TIMEOUT_SECONDS:g} s"
            )
        completed = [connections[fd] for fd, _ in events if connections[fd].is_response_complete()]
        for connection in completed:
            connection.send(next(self._urls))
        return len(completed)


class _HttpConnection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._url = ""

    def send(self, url: str) -> None:
        self._buffer.clear()
        self._url = url
        self.socket.sendall(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n".encode())

    def is_response_complete(self) -> bool:
        """Reads once; whether the response is complete now."""
        data = self.socket.recv(1024 * 1024)
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(self._buffer, 0, max(head, 0))
        if not data or (head >= 0 and not (length and self._buffer.startswith(b"HTTP/1.1 200"))):
            raise CannotMeasureError(f"unexpected response to {self._url}: {bytes(self._buffer[:500])!r}")
        return length is not None and len(self._buffer) >= head + 4 + int(length[1])
