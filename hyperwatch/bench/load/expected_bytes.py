"""The bytes that every client must receive: written by the client that is furthest, compared by the others."""

import zlib

from hyperwatch.bench.load.framing import CONTROL, FINAL, PING, header

PING_FIRST_BYTE = FINAL | PING


class ExpectedBytes:
    """The frames of a run in the order in which the first client received them, without control frames.

    A client is an offset. Comparing is one `memcmp` of the received bytes, so it costs no more than receiving.
    """

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.frames = 0
        # Missing bytes of the last frame.
        self._remaining = 0

    def __len__(self) -> int:
        return len(self.bytes)

    @property
    def crc(self) -> int:
        return zlib.crc32(self.bytes)

    def matches(self, offset: int, data: memoryview) -> bool:
        """Whether all of `data` is recorded at `offset`."""
        return self.bytes.startswith(data, offset)

    def consume(self, offset: int, data: bytes) -> tuple[int, list[bytes], bytes]:
        """Compares or records `data` of a client at `offset`: (its new offset, pings, rest).

        The rest is a close or an incomplete frame header: pass it again in front of the next bytes. A rest longer
        than a control frame is a mismatch.
        """
        pings: list[bytes] = []
        while data:
            size = _common_prefix(self.bytes[offset : offset + len(data)], data)
            offset, data = offset + size, data[size:]
            if not data:
                break
            used = self._append(data) if offset == len(self.bytes) else 0
            if used:
                offset, data = offset + used, data[used:]
                continue
            ping = _leading_ping(data)
            if ping is None:
                break
            pings.append(ping)
            data = data[len(ping) :]
        return offset, pings, data

    def _append(self, data: bytes) -> int:
        """Records bytes of one frame and returns their number.

        Returns 0 for an incomplete header and for a control frame: those come between frames, and differ by client.
        """
        if not self._remaining:
            frame = header(data)
            if frame is None or frame[0] & CONTROL:
                return 0
            self._remaining = frame[1] + frame[2]
            self.frames += 1
        used = min(self._remaining, len(data))
        self._remaining -= used
        self.bytes += data[:used]
        return used


def _common_prefix(expected: bytearray, data: bytes) -> int:
    if data.startswith(expected):
        return len(expected)
    return next(index for index, (one, other) in enumerate(zip(expected, data, strict=False)) if one != other)


def _leading_ping(data: bytes) -> bytes | None:
    """The complete ping at the beginning of `data`."""
    frame = header(data)
    if frame is None or data[0] != PING_FIRST_BYTE or frame[1] + frame[2] > len(data):
        return None
    return data[: frame[1] + frame[2]]
