"""An HTTP client that sends any bytes, valid or not, and reads the response."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from hyperwatch.harness.app_process import AppProcess


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reported(self) -> Any:
        return json.loads(self.body)


class Raw:
    """A connection that sends any bytes and reads whole answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        # A rejected client may be disconnected while it sends.
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def answer(self) -> Answer:
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        whole = (
            self._chunks() if "transfer-encoding" in headers else self._file.read(int(headers.get("content-length", 0)))
        )
        return Answer(status, headers, whole)

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self._file.readline(), 16):
            whole += self._file.read(size + 2)[:-2]
        self._file.readline()
        return whole

    def ended(self) -> bool:
        """Whether nothing more comes, and the connection is closed."""
        with suppress(ConnectionResetError):
            return self._file.read() == b""
        return True


@contextmanager
def raw(web: AppProcess) -> Iterator[Raw]:
    connection = Raw(web.port)
    try:
        yield connection
    finally:
        connection.socket.close()


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
