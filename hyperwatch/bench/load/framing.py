"""Client side of the WebSocket framing (RFC 6455): the minimum for many clients in one event loop."""

import struct
from collections.abc import Iterator

TEXT = 0x1
# The bit that marks control frames: close, ping and pong.
CONTROL = 0x8
CLOSE = 0x8
PING = 0x9
PONG = 0xA
FINAL = 0x80
MASKED = 0x80
# A mask of zeros leaves the payload unchanged.
KEY = bytes(4)
# Placeholder in a subscribe request, for a wallet of each client.
WALLET = b"$WALLET"

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: aHlwZXJ3YXRjaCBiZW5jaA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def handshake(port: int, path: str) -> bytes:
    return HANDSHAKE.format(port=port, path=path).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """A complete, masked frame."""
    first, size = FINAL | opcode, len(payload)
    if size < 126:
        return bytes((first, MASKED | size)) + KEY + payload
    return bytes((first, MASKED | 126)) + struct.pack("!H", size) + KEY + payload


def header(data: bytes | bytearray, offset: int = 0) -> tuple[int, int, int] | None:
    """(opcode, header size, payload size) of an unmasked frame at `offset`; None if the header is incomplete."""
    available = len(data) - offset
    if available < 2:
        return None
    size = data[offset + 1]
    if size < 126:
        return data[offset] & 0xF, 2, size
    size_format, header_size = ("!H", 4) if size == 126 else ("!Q", 10)
    if available < header_size:
        return None
    return data[offset] & 0xF, header_size, struct.unpack_from(size_format, data, offset + 2)[0]


def frames(data: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """(end offset, payload) of each complete frame in `data`."""
    start = 0
    while (frame := header(data, start)) is not None:
        _, header_size, size = frame
        end = start + header_size + size
        if end > len(data):
            return
        yield end, bytes(data[start + header_size : end])
        start = end


def wallet_address(number: int) -> str:
    """The wallet of the client with this number, from 0."""
    return f"0x{number:040x}"
