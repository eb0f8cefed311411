"""Frames: what a client is sent of one fact. A frame depends on its row alone, wherever it is made."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from hyperwatch.formats import DEFLATE_WINDOW_BITS
from realtime.protocol.vocabulary import ServerFrame
from realtime.streams import Fact, Row, Stream
from realtime.structs.output_types import Head, Number, Time

# A message in the channel layer holds so many bytes of frames, or a single larger one.
CHUNK_BYTES = 256 * 1024

# A frame of our size gains nothing by more memory, and below some bytes it gains nothing at all.
DEFLATE_LEVEL, DEFLATE_MEMORY = 6, 5
DEFLATE_FROM = 128
SYNC_TAIL = b"\x00\x00\xff\xff"


class Frame(msgspec.Struct, frozen=True):
    """One fact; `timestamp` is the fact's own time. It has the same bytes live, in a batch and in a resume."""

    type: str
    channel: str
    timestamp: Time
    seq: Number
    data: Row


class BatchFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.BATCH.value):
    """Frames that are due together, in order, for those who asked for `batch`."""

    channel: str
    data: list[Frame]


class SnapshotFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.SNAPSHOT.value):
    """The frames' data as the stream stood at `seq`, ascending; the live frames go on from there."""

    channel: str
    seq: Head
    data: list[Row]


class GapFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.GAP.value):
    """What was not sent and will not be, both ends in; the stream goes on from what there is."""

    channel: str
    missing_from: Annotated[int, Meta(ge=0, examples=[1201])]
    missing_to: Annotated[int, Meta(ge=0, examples=[1230])]


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A finished frame, and what decides who gets it."""

    seq: int
    fact: Fact
    frame: bytes


_unpack = msgspec.msgpack.Decoder(list[Event]).decode


def make_event(stream: Stream, row: Row, fact: Fact | None = None) -> Event:
    """`fact` is the row's own, where it was made already."""
    fact = fact or stream.fact(row)
    frame = Frame(stream.frame_type or "", stream.name, fact.time, row.seq, row)
    return Event(row.seq, fact, msgspec.json.encode(frame))


def batch_frame(channel: str, frames: Sequence[bytes]) -> bytes:
    """A Batch, joined; each frame has in it the bytes that it has alone."""
    return b'{"type":"batch","channel":"%b","data":[%b]}' % (channel.encode(), b",".join(frames))


def snapshot_frame(channel: str, head: int, events: Sequence[Event]) -> bytes:
    """A Snapshot, joined from the frames of the facts."""
    data = b",".join(bytes(_read_data(event.frame).data) for event in events)
    return b'{"type":"snapshot","channel":"%b","seq":%d,"data":[%b]}' % (channel.encode(), head, data)


def gap_frame(channel: str, missing_from: int, missing_to: int) -> bytes:
    return msgspec.json.encode(GapFrame(channel, missing_from, missing_to))


def ws_frame(payload: bytes) -> bytes:
    """A whole text frame (RFC 6455, 5.2); a server's are not masked, so that it is the same for every client."""
    return _header(b"\x81", len(payload)) + payload


def ws_frame_deflated(payload: bytes) -> bytes:
    """The same for a client of permessage-deflate (RFC 7692, 7.2.1); what gains nothing by it goes as it is.

    No frame refers to an earlier one (`no_context_takeover`): only so can one copy serve all.
    """
    if len(payload) >= DEFLATE_FROM:
        deflate = zlib.compressobj(level=DEFLATE_LEVEL, wbits=-DEFLATE_WINDOW_BITS, memLevel=DEFLATE_MEMORY)
        short = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        if len(short) < len(payload):
            return _header(b"\xc1", len(short) - len(SYNC_TAIL)) + short.removesuffix(SYNC_TAIL)
    return ws_frame(payload)


def _header(first: bytes, size: int) -> bytes:
    if size < 126:
        return first + bytes([size])
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2)
    return first + b"\x7f" + size.to_bytes(8)


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
