"""Frames: what a client is sent of one fact. A frame depends on its row alone, wherever it is made."""

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from realtime.streams import Fact, Row, Stream

# A message in the channel layer holds so many bytes of frames, or a single larger one.
CHUNK_BYTES = 256 * 1024


class Frame(msgspec.Struct, frozen=True):
    type: str
    channel: str
    timestamp: datetime
    seq: int
    data: Row


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A finished frame, and what decides who gets it."""

    seq: int
    fact: Fact
    frame: bytes


_unpack = msgspec.msgpack.Decoder(list[Event]).decode


def make_event(stream: Stream, row: Row) -> Event:
    fact = stream.fact(row)
    frame = Frame(stream.frame_type or "", stream.name, fact.time, row.seq, row)
    return Event(row.seq, fact, msgspec.json.encode(frame))


def batch_frame(channel: str, frames: Sequence[bytes]) -> bytes:
    """Frames that are due together as one; each has in it the bytes that it has alone."""
    return b'{"type":"batch","channel":"%b","data":[%b]}' % (channel.encode(), b",".join(frames))


def snapshot_frame(channel: str, head: int, events: Sequence[Event]) -> bytes:
    """The data of frames, as the stream stood at `head`."""
    data = b",".join(bytes(_read_data(event.frame).data) for event in events)
    return b'{"type":"snapshot","channel":"%b","seq":%d,"data":[%b]}' % (channel.encode(), head, data)


def gap_frame(channel: str, missing_from: int, missing_to: int) -> bytes:
    """What was not sent and will not be, both ends in."""
    gap = {"type": "gap", "channel": channel, "missing_from": missing_from, "missing_to": missing_to}
    return msgspec.json.encode(gap)


def finished(payload: bytes) -> bytes:
    """A whole text frame (RFC 6455, 5.2); a server's are not masked, so that it is the same for every client."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e" + struct.pack("!H", size) + payload
    return b"\x81\x7f" + struct.pack("!Q", size) + payload


class _Data(msgspec.Struct):
    data: msgspec.Raw


_read_data = msgspec.json.Decoder(_Data).decode


def pack(events: Sequence[Event]) -> Iterator[bytes]:
    """Events as bytes for the channel layer, in chunks."""
    chunk: list[Event] = []
    size = 0
    for event in events:
        if chunk and size + len(event.frame) > CHUNK_BYTES:
            yield msgspec.msgpack.encode(chunk)
            chunk, size = [], 0
        chunk.append(event)
        size += len(event.frame)
    if chunk:
        yield msgspec.msgpack.encode(chunk)


def unpack(packed: bytes) -> list[Event]:
    return _unpack(packed)
