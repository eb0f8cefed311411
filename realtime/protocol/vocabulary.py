"""The vocabulary of the WebSocket (websocket.md) on one page: frames in and out, error codes, close codes."""

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hyperwatch.formats import isoformat
from realtime.structs.output_types import Count, Head, TimeText


class ClientFrame(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PING = "ping"
    GET_SUBSCRIPTIONS = "get_subscriptions"
    HELLO = "hello"


class ServerFrame(StrEnum):
    """Besides those of the streams, which each stream names."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PONG = "pong"
    SUBSCRIPTIONS = "subscriptions"
    CONNECTED = "connected"
    ERROR = "error"
    SNAPSHOT = "snapshot"
    BATCH = "batch"
    GAP = "gap"


class ErrorCode(StrEnum):
    INVALID_MESSAGE = "INVALID_MESSAGE"
    INVALID_CHANNEL = "INVALID_CHANNEL"
    INVALID_PARAMS = "INVALID_PARAMS"
    UNAUTHORIZED = "UNAUTHORIZED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    RATE_LIMITED = "RATE_LIMITED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"


class CloseCode(IntEnum):
    GOING_AWAY = 1001
    FRAME_TOO_LARGE = 1009
    TOO_MANY_BAD_FRAMES = 4400
    UNAUTHORISED = 4401
    TOO_SLOW = 4408
    TOO_MANY_CONNECTIONS = 4429


class ProtocolError(Exception):
    """What a client sent cannot be; it is told so, and its subscriptions go on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def now() -> str:
    return isoformat(datetime.now(UTC))


class ClientMessage(msgspec.Struct):
    """A frame from a client; what else stands in it is ignored."""

    type: str
    channels: list[str] = msgspec.field(default_factory=list)
    params: msgspec.Raw = msgspec.Raw(b"{}")


class StreamRange(msgspec.Struct, frozen=True):
    """From where to where a stream is: `head` is its newest `seq`, `floor` the newest that is no longer kept."""

    head: Head
    floor: Count


class Limits(msgspec.Struct, frozen=True):
    """What one connection may have.

    `frame_bytes` is the longest frame that the server takes, `frames` how many of them in what time,
    `param_values` how many coins, addresses, types and whales its params may name together, `snapshot` the most
    events in one, `replay` how many facts `since` reaches back.
    """

    frame_bytes: Annotated[int, Meta(ge=1, examples=[65536])]
    frames: Annotated[str, Meta(examples=["600/minute"])]
    param_values: Annotated[int, Meta(ge=1, examples=[1000])]
    snapshot: Annotated[int, Meta(ge=1, examples=[100])]
    replay: Annotated[int, Meta(ge=0, examples=[100000])]


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    """A frame from the server that is not made of facts; those are in frames.py."""

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


class Subscribed(ServerMessage, frozen=True, tag=ServerFrame.SUBSCRIBED.value):
    """The answer to `subscribe`; what the subscriptions begin with comes behind it."""

    channels: list[str]
    message: str = "Successfully subscribed"


class Unsubscribed(ServerMessage, frozen=True, tag=ServerFrame.UNSUBSCRIBED.value):
    """The answer to `unsubscribe`."""

    channels: list[str]
    message: str = "Successfully unsubscribed"


class Pong(ServerMessage, frozen=True, tag=ServerFrame.PONG.value):
    """The answer to `ping`, with the server's time."""

    timestamp: TimeText = msgspec.field(default_factory=now)


class Subscriptions(ServerMessage, frozen=True, tag=ServerFrame.SUBSCRIPTIONS.value):
    """The answer to `get_subscriptions`; `params` are those of the first channel."""

    channels: list[str]
    params: dict[str, Any]
    subscriptions: dict[str, dict[str, Any]]


class Connected(ServerMessage, frozen=True, tag=ServerFrame.CONNECTED.value):
    """The answer to `hello`, and the first frame for who comes with `?hello=1`. Another epoch: numbers start anew.

    `places` are this connection's, by channel: up to that `seq` everything that matches was sent before this frame,
    so that `since` may begin there.
    """

    client_id: Annotated[str, Meta(examples=["bot-7"])]
    epoch: Annotated[str, Meta(examples=["1f0c5e0f7d1b4d0a"])]
    limits: Limits
    channels: dict[str, StreamRange]
    places: dict[str, Head]
    server_time: TimeText = msgspec.field(default_factory=now)


class Error(ServerMessage, frozen=True, tag=ServerFrame.ERROR.value):
    """What could not be done; the connection stays, and its subscriptions go on."""

    code: Annotated[ErrorCode, Meta(examples=["INVALID_CHANNEL"])]
    message: Annotated[str, Meta(examples=["Channel 'x' is not supported"])]
    timestamp: TimeText = msgspec.field(default_factory=now)
