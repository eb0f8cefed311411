"""All frames of the protocol as structs for the AsyncAPI document: requests, responses, frames of the channels."""

import functools
import operator
from collections.abc import Iterator
from functools import cache
from types import GenericAlias, NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from msgspec import Meta

from realtime.protocol.descriptions import REQUESTS
from realtime.protocol.frames import BatchFrame, Frame, GapFrame, SnapshotFrame
from realtime.protocol.subscriptions import COMMON_PARAMS, Filters, NonEmptyList, Params
from realtime.protocol.vocabulary import (
    ClientFrame,
    ClientMessage,
    Connected,
    Error,
    Place,
    Pong,
    StreamRange,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)
from realtime.streams import Stream, channels
from realtime.structs.json_schema import client_schema, const, enum_schema, schema_name, server_schema
from realtime.structs.output_types import Head

ALL_OPTIONAL: frozenset[str] = frozenset()
TOKEN = Annotated[str, Meta(examples=["Ab3dE9xQ.p1Zr0WnS8mYk7uVt"], description="API key")]


class MessageDoc(NamedTuple):
    """Documentation of one message.

    key         unique name in the document
    type        its `type` field
    struct      struct with the documented fields
    description purpose, for the authors of clients
    """

    key: str
    type: str
    struct: Any
    description: str


def request_messages() -> Iterator[MessageDoc]:
    channel_list = {"channels": _non_empty_list(_channel_name())}
    fields = {
        ClientFrame.SUBSCRIBE: {**channel_list, "params": combined_params()},
        ClientFrame.UNSUBSCRIBE: channel_list,
        ClientFrame.AUTHENTICATE: {"token": TOKEN},
    }
    for frame_type, description in REQUESTS.items():
        types = {"type": const(frame_type.value), **fields.get(frame_type, {})}
        name = "".join(word.capitalize() for word in frame_type.split("_"))
        struct = client_schema(ClientMessage, name, types, frozenset({"type", "channels", "token"}))
        yield MessageDoc(frame_type.value, frame_type.value, struct, description)


def response_messages() -> Iterator[MessageDoc]:
    name = _channel_name()
    mapping: Any = dict
    channel_list: dict[str, Any] = {"channels": GenericAlias(list, name)}
    yield _message(server_schema(Subscribed, **channel_list))
    yield _message(server_schema(Unsubscribed, **channel_list))
    yield _message(server_schema(Pong, channels=mapping[name, Place]))
    params = combined_params()
    yield _message(server_schema(Subscriptions, **channel_list, params=params, subscriptions=mapping[name, params]))
    yield _message(server_schema(Connected, channels=mapping[name, StreamRange], places=mapping[name, Head]))
    yield _message(server_schema(Error))
    yield _message(server_schema(GapFrame, channel=name))


def channel_messages(stream: Stream) -> Iterator[MessageDoc]:
    """The frames that a subscription to the channel receives: the frame of one fact first."""
    frame_type, channel, row = stream.frame_type or "", const(stream.name), server_schema(stream.row)
    name, prefix = row.__name__, f"{stream.name}_"
    frame = server_schema(Frame, f"{name}Frame", type=const(frame_type), channel=channel, data=row)
    yield MessageDoc(frame_type, frame_type, frame, row.__doc__ or "")
    yield _message(
        server_schema(SnapshotFrame, f"{name}Snapshot", channel=channel, data=GenericAlias(list, row)), prefix
    )
    yield _message(server_schema(BatchFrame, f"{name}Batch", channel=channel, data=GenericAlias(list, frame)), prefix)


def _message(struct: Any, prefix: str = "") -> MessageDoc:
    frame_type = struct.__struct_config__.tag
    return MessageDoc(f"{prefix}{frame_type}", frame_type, struct, struct.__doc__)


@cache
def combined_params() -> Any:
    """Params of a request for several channels: all params that any channel has."""
    filters = client_schema(Filters, "Filters", _fields(Filters), ALL_OPTIONAL)
    return client_schema(Params, "Params", {**_fields(Params), "filters": filters}, ALL_OPTIONAL)


def params_name(stream: Stream) -> str:
    return f"{schema_name(stream.row)}Params"


def params_schema(stream: Stream) -> Any:
    """Params of a request for this channel alone, with the values that it accepts."""
    types = {name: hint for name, hint in _fields(Params).items() if name in COMMON_PARAMS}
    filters: dict[str, Any] = {}
    for param, values in stream.params.items():
        if param in Filters.__struct_fields__:
            filters[param] = values or _fields(Filters)[param]
        else:
            types[param] = _non_empty_list(values) if values else _fields(Params)[param]
    if filters:
        types["filters"] = client_schema(Filters, f"{schema_name(stream.row)}Filters", filters, ALL_OPTIONAL)
    return client_schema(Params, params_name(stream), types, stream.required)


def subscribable_streams() -> list[Stream]:
    """The streams with a channel, event streams first."""
    return sorted(channels().values(), key=lambda stream: stream.is_state)


def _channel_name() -> Any:
    return enum_schema([stream.name for stream in subscribable_streams()])


def _non_empty_list(item: Any) -> Any:
    list_type: Any = NonEmptyList
    return list_type[item]


def _fields(struct: Any) -> dict[str, Any]:
    """The types of a struct's fields. `null` is accepted for each and means the same as a missing field."""
    hints = get_type_hints(struct, include_extras=True)
    return {name: _without_none(hint) for name, hint in hints.items()}


def _without_none(hint: Any) -> Any:
    types = [part for part in get_args(hint) if part is not NoneType]
    return functools.reduce(operator.or_, types) if NoneType in get_args(hint) else hint
