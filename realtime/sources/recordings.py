"""Recorded messages: files of one JSON object a line, {"topic": …, "key": …, "value": …}.

`topic` is the contract's name, whatever the settings call it. The value's bytes are sliced out of the line
and never read as numbers: `123456789.123456780` and `1e400` arrive as they stand.
"""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec

LONGEST_LINE = 16 * 1024 * 1024
STDIN = "-"


class RecordedMessage(msgspec.Struct, kw_only=True):
    """One line. A value of `null` is a tombstone: a message without a value."""

    topic: str
    key: str | None = None
    value: msgspec.Raw

    @property
    def payload(self) -> bytes | None:
        payload = bytes(self.value)
        return None if payload == b"null" else payload


class BadLineError(ValueError):
    """A line that is no recorded message; the text names the file and the line."""


_decoder = msgspec.json.Decoder(RecordedMessage)


def read(name: str, topics: set[str]) -> Iterator[tuple[int, RecordedMessage]]:
    """Each message of the file `name` (`-` is stdin) with the bytes of its line; empty lines are passed over.

    Raises OSError and BadLineError, the latter for a topic that is not in `topics` too.
    """
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            if line.isspace():
                continue
            try:
                yield len(line), _message(line, topics)
            except ValueError as bad:
                raise BadLineError(f"{name}, line {number}: {bad}") from bad


def write(topic: str, key: str, value: bytes) -> bytes:
    """One line of such a file."""
    return msgspec.json.encode(RecordedMessage(topic=topic, key=key, value=msgspec.Raw(value))) + b"\n"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    # A file without line ends is not read into memory whole: the cut line is refused as no JSON.
    while line := file.readline(LONGEST_LINE):
        yield line


def _message(line: bytes, topics: set[str]) -> RecordedMessage:
    if len(line) >= LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
    message = _decoder.decode(line)
    if message.topic not in topics:
        raise ValueError(f"unknown topic {message.topic!r}; known are {', '.join(sorted(topics))}")
    return message
