"""Recorded messages: files with one JSON object per line, {"topic": …, "key": …, "value": …}.

`topic` is the contract's topic name, independent of the settings. The value's bytes are sliced out of the line
without parsing numbers: `123456789.123456780` and `1e400` stay unchanged.
"""

import codecs
import gzip
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

MAX_LINE_BYTES = 16 * 1024 * 1024
STDIN = "-"
# RFC 1952, 2.3.1
GZIP_MAGIC = b"\x1f\x8b"


class RecordedMessage(msgspec.Struct, kw_only=True):
    """One line. The value `null` is a tombstone: a message without a value."""

    topic: str
    key: str | None = None
    value: msgspec.Raw

    @property
    def payload(self) -> bytes | None:
        payload = bytes(self.value)
        return None if payload == b"null" else payload


class BadLineError(ValueError):
    """A line that is not a recorded message; the text names the file and the line number."""


_decoder = msgspec.json.Decoder(RecordedMessage)


def read(name: str, topics: set[str]) -> Iterator[tuple[int, RecordedMessage]]:
    """Yields each message of the file `name` (`-` is stdin) with the size of its line; skips empty lines.

    Gzip is recognised by its first bytes. Raises OSError, EOFError or zlib.error, and
    BadLineError for an invalid line or a topic that is not in `topics`.
    """
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
        for number, line in enumerate(_lines(_decompressed(file)), start=1):
            if line.isspace():
                continue
            try:
                yield len(line), _message(line, topics)
            except ValueError as error:
                raise BadLineError(f"{name}, line {number}: {error}") from error


def write(topic: str, key: str, value: bytes) -> bytes:
    """Returns one line of a recording, with its line end."""
    return msgspec.json.encode(RecordedMessage(topic=topic, key=key, value=msgspec.Raw(value))) + b"\n"


def _decompressed(file: BinaryIO) -> BinaryIO:
    buffered = cast(BufferedReader, file)
    return cast(BinaryIO, gzip.open(buffered)) if buffered.peek(2).startswith(GZIP_MAGIC) else file


def _lines(file: BinaryIO) -> Iterator[bytes]:
    # Bounds memory for a file without line ends; `_message` rejects the truncated line by its length.
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def _message(line: bytes, topics: set[str]) -> RecordedMessage:
    if len(line) >= MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
    message = _decoder.decode(line.removeprefix(codecs.BOM_UTF8))
    if message.topic not in topics:
        raise ValueError(f"unknown topic {message.topic!r}; known topics are {', '.join(sorted(topics))}")
    return message
