"""What every client of a swarm must receive, byte for byte: written by whoever is furthest, compared by the rest."""

import zlib

from hyperwatch.bench.load.framing import CONTROL, FINAL, PING, header

A_PING = FINAL | PING


class ExpectedBytes:
    """The frames of a run as the first client to get them got them; pings are of each client's own.

    A client is a place in it. Comparing is one `memcmp` of what came, so that it costs no more than receiving.
    """

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.frames = 0
        # What is missing of the last frame.
        self._open = 0

    def __len__(self) -> int:
        return len(self.bytes)

    @property
    def crc(self) -> int:
        return zlib.crc32(self.bytes)

    def goes_on(self, at: int, data: memoryview) -> bool:
        """Whether all of `data` is known and stands at `at`."""
        return self.bytes.startswith(data, at)

    def take(self, at: int, data: bytes) -> tuple[int, list[bytes], bytes]:
        """What came to one who is `at`: their new place, the pings in it, and the rest, where it differs.

        The rest is a close, or the beginning of a frame, which is to be offered again with what follows, or, where
        it is longer than those can be, something that the others did not get.
        """
        pings: list[bytes] = []
        while data:
            known = _common(self.bytes[at : at + len(data)], data)
            at, data = at + known, data[known:]
            if not data:
                break
            used = self._append(data) if at == len(self.bytes) else 0
            if used:
                at, data = at + used, data[used:]
                continue
            ping = _ping(data)
            if ping is None:
                break
            pings.append(ping)
            data = data[len(ping) :]
        return at, pings, data

    def _append(self, data: bytes) -> int:
        """Writes what belongs to one frame; returns how many bytes that is.

        It is 0 where the header is not complete, and for a ping or a close: they come between frames, and each
        client has its own.
        """
        if not self._open:
            found = header(data)
            if found is None or found[0] & CONTROL:
                return 0
            self._open = found[1] + found[2]
            self.frames += 1
        used = min(self._open, len(data))
        self._open -= used
        self.bytes += data[:used]
        return used


def _common(known: bytearray, data: bytes) -> int:
    """How many bytes of `data` are as `known`."""
    if data.startswith(known):
        return len(known)
    return next(place for place, (one, other) in enumerate(zip(known, data, strict=False)) if one != other)


def _ping(data: bytes) -> bytes | None:
    """The ping that `data` begins with, whole."""
    found = header(data)
    if found is None or data[0] != A_PING or found[1] + found[2] > len(data):
        return None
    return data[: found[1] + found[2]]
