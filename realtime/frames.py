"""Frames: what a client is sent of one fact. A frame depends on its row alone, wherever it is made."""

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
