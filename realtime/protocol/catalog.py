"""Every kind of frame there is, as a struct that tells its shape: what clients ask, what the server sends."""

from collections.abc import Iterator
from functools import cache
from types import GenericAlias
from typing import Any, NamedTuple, get_type_hints

from realtime.protocol.descriptions import REQUESTS
from realtime.protocol.frames import BatchFrame, Frame, GapFrame, SnapshotFrame
from realtime.protocol.subscriptions import Filters, Params, Some
from realtime.protocol.vocabulary import (
    ClientFrame,
    ClientMessage,
    Connected,
    Error,
    Pong,
    StreamRange,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)
from realtime.streams import Stream, channels
from realtime.structs.json_schema import client_schema, const, enum_schema, schema_name, server_schema
from realtime.structs.output_types import Head

# Of every channel; the rest of Params are a channel's own.
COMMON = ("snapshot", "since", "epoch", "batch")
NONE: frozenset[str] = frozenset()


class MessageDoc(NamedTuple):
    """Its name among all, its `type`, its struct, and what it is for."""

    key: str
    type: str
    struct: Any
    about: str


def requests() -> Iterator[MessageDoc]:
    named = {"channels": _some(_channel_name())}
    fields = {ClientFrame.SUBSCRIBE: {**named, "params": any_params()}, ClientFrame.UNSUBSCRIBE: named}
    for kind, about in REQUESTS.items():
        types = {"type": const(kind.value), **fields.get(kind, {})}
        name = "".join(word.capitalize() for word in kind.split("_"))
        struct = client_schema(ClientMessage, name, types, frozenset({"type", "channels"}))
        yield MessageDoc(kind.value, kind.value, struct, about)


def answers() -> Iterator[MessageDoc]:
    name = _channel_name()
    of_each: Any = dict
    named: dict[str, Any] = {"channels": GenericAlias(list, name)}
    yield _message(server_schema(Subscribed, **named))
    yield _message(server_schema(Unsubscribed, **named))
    yield _message(server_schema(Pong))
    yield _message(
        server_schema(Subscriptions, **named, params=any_params(), subscriptions=of_each[name, any_params()])
    )
    yield _message(server_schema(Connected, channels=of_each[name, StreamRange], places=of_each[name, Head]))
    yield _message(server_schema(Error))
    yield _message(server_schema(GapFrame, channel=name))


def pushed(stream: Stream) -> Iterator[MessageDoc]:
    """What a subscription to the channel brings: the facts' frames first."""
    kind, here, row = stream.frame_type or "", const(stream.name), server_schema(stream.row)
    name = row.__name__
    frame = server_schema(Frame, f"{name}Frame", type=const(kind), channel=here, data=row)
    yield MessageDoc(kind, kind, frame, stream.row.__doc__ or "")
    yield _message(
        server_schema(SnapshotFrame, f"{name}Snapshot", channel=here, data=GenericAlias(list, row)), f"{stream.name}_"
    )
    yield _message(
        server_schema(BatchFrame, f"{name}Batch", channel=here, data=GenericAlias(list, frame)), f"{stream.name}_"
    )


def _message(struct: Any, prefix: str = "") -> MessageDoc:
    kind = struct.__struct_config__.tag
    return MessageDoc(f"{prefix}{kind}", kind, struct, struct.__doc__)


@cache
def any_params() -> Any:
    """Of a request for several channels: what at least one of them may know."""
    filters = client_schema(Filters, "Filters", _fields(Filters), NONE)
    return client_schema(Params, "Params", {**_fields(Params), "filters": filters}, NONE)


def params_name(stream: Stream) -> str:
    return f"{schema_name(stream.row)}Params"


def params(stream: Stream) -> Any:
    """Of a request for this channel alone, with the values that it takes."""
    types = {name: kind for name, kind in _fields(Params).items() if name in COMMON}
    filters: dict[str, Any] = {}
    for param, values in stream.params.items():
        if param in Filters.__struct_fields__:
            filters[param] = values or _fields(Filters)[param]
        else:
            types[param] = _some(values) if values else _fields(Params)[param]
    if filters:
        types["filters"] = client_schema(Filters, f"{schema_name(stream.row)}Filters", filters, NONE)
    return client_schema(Params, params_name(stream), types, stream.required)


def subscribable_streams() -> list[Stream]:
    """Those that can be subscribed to, events first."""
    return sorted(channels().values(), key=lambda stream: stream.is_state)


def _channel_name() -> Any:
    return enum_schema([stream.name for stream in subscribable_streams()])


def _some(kind: Any) -> Any:
    some: Any = Some
    return some[kind]


def _fields(struct: Any) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)
