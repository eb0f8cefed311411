"""The client's half of a WebSocket (RFC 6455), as bytes: just enough for many clients in one loop."""

import struct
from collections.abc import Iterator

TEXT = 0x1
# The bit that pings, pongs and closes have in common.
CONTROL = 0x8
CLOSE = 0x8
PING = 0x9
PONG = 0xA
FINAL = 0x80
MASKED = 0x80
# Any will do where nothing needs hiding; this one leaves the bytes as they are.
KEY = bytes(4)

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: aHlwZXJ3YXRjaCBiZW5jaA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def handshake(port: int, path: str) -> bytes:
    return HANDSHAKE.format(port=port, path=path).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole frame from a client."""
    first, size = FINAL | opcode, len(payload)
    if size < 126:
        return bytes((first, MASKED | size)) + KEY + payload
    return bytes((first, MASKED | 126)) + struct.pack("!H", size) + KEY + payload


def header(data: bytes | bytearray, at: int = 0) -> tuple[int, int, int] | None:
    """(opcode, header's size, payload's size) of a server's frame at `at`; None where that much is not there."""
    there = len(data) - at
    if there < 2:
        return None
    size = data[at + 1]
    if size < 126:
        return data[at] & 0xF, 2, size
    form, needed = ("!H", 4) if size == 126 else ("!Q", 10)
    if there < needed:
        return None
    return data[at] & 0xF, needed, struct.unpack_from(form, data, at + 2)[0]


def frames(data: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """(place behind it, payload) of each whole frame in `data`."""
    at = 0
    while (found := header(data, at)) is not None:
        _, before, size = found
        end = at + before + size
        if end > len(data):
            return
        yield end, bytes(data[at + before : end])
        at = end
