"""A WebSocket client that sends any bytes in any pieces, valid or not, and reads the response."""

import base64
import hashlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import cycle
from typing import Any, NamedTuple, Self

KEY = base64.b64encode(b"sixteen bytes ok").decode()
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()  # noqa: S324 (RFC 6455, 4.2.2)
MASK = b"\x17\xa3\x5c\xe1"
PING = b'{"type": "ping"}'


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    head: int

    @property
    def code(self) -> int | None:
        """What a close frame says."""
        assert self.opcode == Opcode.CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    width: int | None = None,
    length: int | None = None,
) -> bytes:
    """A frame's bytes; `length` replaces the payload's own, in `width` bytes (1, 2 or 8)."""
    length = len(payload) if length is None else length
    width = width or (1 if length < 126 else 2 if length < 65536 else 8)
    first = fin << 7 | rsv << 4 | opcode
    second = {1: length, 2: 126, 8: 127}[width] | (0 if mask is None else 128)
    returned = {1: b"", 2: struct.pack("!H", length & 0xFFFF), 8: struct.pack("!Q", length)}[width]
    return bytes([first, second]) + returned + (payload if mask is None else mask + masked(payload, mask))


def masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ key for byte, key in zip(payload, cycle(mask), strict=False))


def text(payload: bytes = PING, **options: Any) -> bytes:
    return frame(Opcode.TEXT, payload, **options)


def more(payload: bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.CONTINUATION, payload, **options)


def close(code: int | None = 1000, reason: bytes = b"", **options: Any) -> bytes:
    return frame(Opcode.CLOSE, b"" if code is None else struct.pack("!H", code) + reason, **options)


def request(line: str = "GET /ws HTTP/1.1", **headers: str | None) -> bytes:
    """A handshake; a header is replaced by its name (`sec_websocket_key="…"`), and left out with None."""
    fields: dict[str, str | None] = {
        "host": "127.0.0.1",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_key": KEY,
        "sec_websocket_version": "13",
        **headers,
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


class RawSocket:
    def __init__(self, port: int, seconds: float, room: int | None = None) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(seconds)
        if room is not None:
            # Before it connects, or the kernel has promised more already.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._come = b""

    def send(self, *pieces: bytes) -> Self:
        """All at once."""
        self._socket.sendall(b"".join(pieces))
        return self

    def dribble(self, data: bytes, size: int = 1) -> Self:
        """In pieces, each in a segment of its own as far as TCP lets one say so."""
        for at in range(0, len(data), size):
            self._socket.sendall(data[at : at + size])
            time.sleep(0.0005)
        return self

    def shake_hands(self, params: bytes = b"") -> "Answer":
        """Sends a request and reads the answer's head."""
        self.send(params or request())
        while b"\r\n\r\n" not in self._come:
            if not self._receive():
                break
        head, _, self._come = self._come.partition(b"\r\n\r\n")
        return Answer.read(head)

    def next(self) -> Frame | None:
        """The server's next frame, or None where it has closed the connection."""
        while (found := self._parse()) is None:
            if not self._receive():
                assert not self._come, f"the server cut a frame in two: {self._come!r}"
                return None
        return found

    def json(self) -> dict[str, Any]:
        """The next frame's object; it must be text."""
        found = self.next()
        assert found is not None and found.opcode == Opcode.TEXT, found
        answer: dict[str, Any] = json.loads(found.payload)
        return answer

    def ended(self) -> bool:
        """Whether the server says nothing any more and has closed the connection."""
        return self.next() is None

    def finish(self) -> None:
        """Says that nothing more comes, and may still read."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Ends the connection as a client that crashed does: with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bool:
        come = self._socket.recv(65536)
        self._come += come
        return bool(come)

    def _parse(self) -> Frame | None:
        if len(self._come) < 2:
            return None
        head, length = self._come[0], self._come[1]
        assert length < 128, "a server masks nothing"
        start = {126: 4, 127: 10}.get(length, 2)
        if len(self._come) < start:
            return None
        length = int.from_bytes(self._come[2:start]) if start > 2 else length
        if len(self._come) < start + length:
            return None
        payload, self._come = self._come[start : start + length], self._come[start + length :]
        return Frame(head & 15, payload, head)


class Answer(NamedTuple):
    """To a handshake; the headers' names are in small letters."""

    status: int
    headers: dict[str, str]

    @classmethod
    def read(cls, head: bytes) -> Self:
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = (field.partition(":") for field in fields)
        return cls(int(line.split()[1]) if line else 0, {name.lower(): value.strip() for name, _, value in pairs})


@contextmanager
def connected(port: int, seconds: float = 10, room: int | None = None) -> Iterator[RawSocket]:
    """A TCP connection on which nothing has been said; `room`: bytes that it takes without their being read."""
    raw = RawSocket(port, seconds, room)
    try:
        yield raw
    finally:
        raw.close()


@contextmanager
def opened(port: int, room: int | None = None) -> Iterator[RawSocket]:
    with connected(port, room=room) as raw:
        answer = raw.shake_hands()
        assert (answer.status, answer.headers["sec-websocket-accept"]) == (101, ACCEPT), answer
        yield raw
