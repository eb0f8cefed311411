"""The vocabulary of the WebSocket protocol: frame types, error codes, close codes, requests and responses."""

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
    AUTHENTICATE = "authenticate"


class ServerFrame(StrEnum):
    """Frame types of every channel; `Stream.frame_type` names those of facts."""

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
    UNKNOWN_PATH = 4404
    TOO_SLOW = 4408
    TOO_MANY_CONNECTIONS = 4429


class ProtocolError(Exception):
    """An invalid request. The client receives an Error; the connection and its subscriptions stay."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def now() -> str:
    return isoformat(datetime.now(UTC))


class ClientMessage(msgspec.Struct):
    """A request from a client. Unknown fields are ignored; null is the same as a missing field."""

    type: str
    channels: list[str] | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    token: str | None = None


class StreamRange(msgspec.Struct, frozen=True):
    """The stored range of a channel: the facts after `floor` up to `head`.

    `head` is the newest `seq`, `floor` the newest that retention has removed; 0 if it has removed nothing.
    """

    head: Head
    floor: Count


class Limits(msgspec.Struct, frozen=True):
    """The limits of one connection."""

    frame_bytes: Annotated[int, Meta(ge=1, examples=[65536], description="longest frame from the client, in bytes")]
    frames: Annotated[str, Meta(examples=["600/minute"], description="frames from the client in a time")]
    param_values: Annotated[
        int, Meta(ge=1, examples=[1000], description="coins, addresses, types and whales in all params together")
    ]
    snapshot: Annotated[int, Meta(ge=1, examples=[100], description="largest `snapshot` of an event channel")]
    replay: Annotated[int, Meta(ge=0, examples=[100000], description="events that `since` can reach back")]


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    """A frame from the server without facts; frames.py has the frames of facts."""

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


class Subscribed(ServerMessage, frozen=True, tag=ServerFrame.SUBSCRIBED.value):
    """The response to `subscribe`. A snapshot, a gap or the events after `since` follow it, then live frames."""

    channels: list[str]
    message: str = "Successfully subscribed"


class Unsubscribed(ServerMessage, frozen=True, tag=ServerFrame.UNSUBSCRIBED.value):
    """The response to `unsubscribe`. No frame of these channels follows it."""

    channels: list[str]
    message: str = "Successfully unsubscribed"


class Place(msgspec.Struct, frozen=True):
    """The position of a subscription: all matching events up to `seq` were sent before this frame."""

    seq: Head


class Pong(ServerMessage, frozen=True, tag=ServerFrame.PONG.value):
    """The response to `ping`. `timestamp` is the server's time.

    `channels` has the position of each subscription of this connection. `since` may begin there: a client that
    receives few events of a busy channel resumes from the larger of its last `seq` and this one.
    """

    timestamp: TimeText = msgspec.field(default_factory=now)
    channels: dict[str, Place] = msgspec.field(default_factory=dict)


class Subscriptions(ServerMessage, frozen=True, tag=ServerFrame.SUBSCRIPTIONS.value):
    """The response to `get_subscriptions`.

    `channels` names the subscribed channels, `subscriptions` has the params of each, `params` those of the first.
    """

    channels: list[str]
    params: dict[str, Any]
    subscriptions: dict[str, dict[str, Any]]


class Connected(ServerMessage, frozen=True, tag=ServerFrame.CONNECTED.value):
    """The response to `hello`, and the first frame of a connection with `?hello=1`.

    `channels` has the stored range of each channel. `places` has the position of each subscription of this connection:
    all matching events up to that `seq` were sent before this frame, so that `since` may begin there.
    """

    client_id: Annotated[str, Meta(examples=["bot-7"], description="name of the connection")]
    epoch: Annotated[
        str, Meta(examples=["1f0c5e0f7d1b4d0a"], description="another epoch means that the numbers start again")
    ]
    limits: Limits
    channels: dict[str, StreamRange]
    places: dict[str, Head]
    server_time: TimeText = msgspec.field(default_factory=now)


class Error(ServerMessage, frozen=True, tag=ServerFrame.ERROR.value):
    """A rejected request. The connection and its subscriptions stay."""

    code: Annotated[ErrorCode, Meta(examples=["INVALID_CHANNEL"], description="see `x-error-codes`")]
    message: Annotated[str, Meta(examples=["Channel 'x' is not supported"], description="reason, for people")]
    timestamp: TimeText = msgspec.field(default_factory=now)
