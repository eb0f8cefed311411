"""Every kind of frame there is, as a struct that tells its shape: what clients ask, what the server sends."""

from collections.abc import Iterator
from functools import cache
from types import GenericAlias
from typing import Any, NamedTuple, get_type_hints

from realtime.frames import Batch, Frame, Gap, Snapshot
from realtime.protocol import (
    ClientFrame,
    ClientMessage,
    Connected,
    Error,
    Pong,
    Reach,
    Subscribed,
    Subscriptions,
    Unsubscribed,
)
from realtime.streams import Stream, channels
from realtime.subscriptions import Filters, Params, Some
from realtime.texts import Head
from realtime.told import asked, const, one_of, sent
from realtime.words import REQUESTS

# Of every channel; the rest of Params are a channel's own.
COMMON = ("snapshot", "since", "epoch", "batch")
NONE: frozenset[str] = frozenset()


class Message(NamedTuple):
    """Its name among all, its `type`, its struct, and what it is for."""

    key: str
    type: str
    struct: Any
    about: str


def requests() -> Iterator[Message]:
    named = {"channels": _some(_channel_name())}
    fields = {ClientFrame.SUBSCRIBE: {**named, "params": any_params()}, ClientFrame.UNSUBSCRIBE: named}
    for kind, about in REQUESTS.items():
        types = {"type": const(kind.value), **fields.get(kind, {})}
        name = "".join(word.capitalize() for word in kind.split("_"))
        struct = asked(ClientMessage, name, types, frozenset({"type", "channels"}))
        yield Message(kind.value, kind.value, struct, about)


def answers() -> Iterator[Message]:
    name = _channel_name()
    of_each: Any = dict
    named: dict[str, Any] = {"channels": GenericAlias(list, name)}
    yield _message(sent(Subscribed, **named))
    yield _message(sent(Unsubscribed, **named))
    yield _message(sent(Pong))
    yield _message(sent(Subscriptions, **named, params=any_params(), subscriptions=of_each[name, any_params()]))
    yield _message(sent(Connected, channels=of_each[name, Reach], places=of_each[name, Head]))
    yield _message(sent(Error))
    yield _message(sent(Gap, channel=name))


def pushed(stream: Stream) -> Iterator[Message]:
    """What a subscription to the channel brings: the facts' frames first."""
    kind, here, row = stream.frame_type or "", const(stream.name), sent(stream.row)
    name = row.__name__
    frame = sent(Frame, f"{name}Frame", type=const(kind), channel=here, data=row)
    yield Message(kind, kind, frame, stream.row.__doc__ or "")
    yield _message(sent(Snapshot, f"{name}Snapshot", channel=here, data=GenericAlias(list, row)), f"{stream.name}_")
    yield _message(sent(Batch, f"{name}Batch", channel=here, data=GenericAlias(list, frame)), f"{stream.name}_")


def _message(struct: Any, prefix: str = "") -> Message:
    kind = struct.__struct_config__.tag
    return Message(f"{prefix}{kind}", kind, struct, struct.__doc__)


@cache
def any_params() -> Any:
    """Of a request for several channels: what at least one of them may know."""
    filters = asked(Filters, "Filters", _fields(Filters), NONE)
    return asked(Params, "Params", {**_fields(Params), "filters": filters}, NONE)


def params_name(stream: Stream) -> str:
    return f"{stream.row.__name__}Params"


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
        types["filters"] = asked(Filters, f"{stream.row.__name__}Filters", filters, NONE)
    return asked(Params, params_name(stream), types, stream.required)


def told_streams() -> list[Stream]:
    """Those that can be subscribed to, events first."""
    return sorted(channels().values(), key=lambda stream: stream.is_state)


def _channel_name() -> Any:
    return one_of([stream.name for stream in told_streams()])


def _some(kind: Any) -> Any:
    some: Any = Some
    return some[kind]


def _fields(struct: Any) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)
