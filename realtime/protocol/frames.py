"""Frames of facts, and their encoding. The bytes of a frame depend on its row alone, in every process."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from hyperwatch.formats import DEFLATE_WINDOW_BITS, encode_time, output_time
from realtime.protocol.vocabulary import ServerFrame
from realtime.streams import Fact, Row, Stream
from realtime.structs.output_types import Head, Number, Time

# Frames in one message of the channel layer; a larger frame is a message of its own.
MAX_CHUNK_BYTES = 256 * 1024

# More memory does not make frames of this size smaller, and frames below the minimum do not shrink at all.
DEFLATE_LEVEL, DEFLATE_MEM_LEVEL = 6, 5
MIN_DEFLATE_BYTES = 128
# The end of a Z_SYNC_FLUSH, which RFC 7692, 7.2.1, removes.
DEFLATE_SYNC_TAIL = b"\x00\x00\xff\xff"


class Frame(msgspec.Struct, frozen=True):
    """One fact. `seq` is its number in the channel, `timestamp` the time at which it happened at the exchange.

    `data` has the fields of the REST API. A frame has the same bytes live, in a batch and after a resume.
    """

    type: str
    channel: str
    timestamp: Time
    seq: Number
    data: Row


class BatchFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.BATCH.value):
    """Several frames at once, in order. Replaces single frames in subscriptions with the param `batch`."""

    channel: str
    data: list[Frame]


class SnapshotFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.SNAPSHOT.value):
    """The first frame of a subscription with the param `snapshot`: the `data` of matching facts, ascending by `seq`.

    Event channels send the last matching facts, state channels the latest of each coin. Live frames continue after
    this frame's own `seq`.
    """

    channel: str
    seq: Head
    data: list[Row]


class GapFrame(msgspec.Struct, frozen=True, tag_field="type", tag=ServerFrame.GAP.value):
    """A range of `seq` that the server cannot send: `missing_from` to `missing_to`, both included.

    Retention has removed the events, `since` reaches back too far, or the epoch is another one. The channel continues
    after the gap.
    """

    channel: str
    missing_from: Annotated[int, Meta(ge=0, examples=[1201])]
    missing_to: Annotated[int, Meta(ge=0, examples=[1230])]


class Event(msgspec.Struct, frozen=True, array_like=True):
    """An encoded frame, and the fact that filters match."""

    seq: int
    fact: Fact
    frame: bytes


_encode = msgspec.json.Encoder(enc_hook=encode_time).encode
_pack = msgspec.msgpack.Encoder(enc_hook=encode_time).encode
_unpack = msgspec.msgpack.Decoder(list[Event]).decode


def make_event(stream: Stream, row: Row, fact: Fact | None = None) -> Event:
    """`fact`: that of the row, if the caller has computed it already."""
    fact = fact or stream.fact(row)
    frame = Frame(stream.frame_type or "", stream.name, output_time(fact.time), row.seq, row)
    return Event(row.seq, fact, _encode(frame))


def batch_frame(channel: str, frames: Sequence[bytes]) -> bytes:
    """A BatchFrame joined from encoded frames, without encoding them again."""
    return b'{"type":"batch","channel":"%b","data":[%b]}' % (channel.encode(), b",".join(frames))


def snapshot_frame(channel: str, head: int, events: Sequence[Event]) -> bytes:
    """A SnapshotFrame joined from the data of encoded frames."""
    data = b",".join(bytes(_read_data(event.frame).data) for event in events)
    return b'{"type":"snapshot","channel":"%b","seq":%d,"data":[%b]}' % (channel.encode(), head, data)


def gap_frame(channel: str, missing_from: int, missing_to: int) -> bytes:
    return msgspec.json.encode(GapFrame(channel, missing_from, missing_to))


def ws_frame(payload: bytes) -> bytes:
    """A complete text frame (RFC 6455, 5.2). Servers do not mask frames, so that every client gets the same bytes."""
    return _header(b"\x81", len(payload)) + payload


def ws_frame_deflated(payload: bytes) -> bytes:
    """A text frame for permessage-deflate (RFC 7692, 7.2.1); uncompressed if compression does not make it shorter.

    With `no_context_takeover` no frame refers to an earlier one, so that all clients can share the bytes.
    """
    if len(payload) >= MIN_DEFLATE_BYTES:
        deflate = zlib.compressobj(level=DEFLATE_LEVEL, wbits=-DEFLATE_WINDOW_BITS, memLevel=DEFLATE_MEM_LEVEL)
        compressed = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        if len(compressed) < len(payload):
            return _header(b"\xc1", len(compressed) - len(DEFLATE_SYNC_TAIL)) + compressed.removesuffix(
                DEFLATE_SYNC_TAIL
            )
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
    """Events encoded for the channel layer, in chunks of at most MAX_CHUNK_BYTES of frames."""
    chunk: list[Event] = []
    size = 0
    for event in events:
        if chunk and size + len(event.frame) > MAX_CHUNK_BYTES:
            yield _pack(chunk)
            chunk, size = [], 0
        chunk.append(event)
        size += len(event.frame)
    if chunk:
        yield _pack(chunk)


def unpack(packed: bytes) -> list[Event]:
    return _unpack(packed)
