"""The AsyncAPI document of the WebSocket, made of the registered streams and of the structs of the frames.

https://www.asyncapi.com/docs/reference/specification/v3.0.0. To AsyncAPI our socket is one channel; what a client
subscribes to are operations that send, each with the schema of its params in `x-params`.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain
from typing import Any

from django.conf import settings

from realtime.protocol import catalog
from realtime.protocol.catalog import COMMON, MessageDoc
from realtime.protocol.descriptions import ABOUT, CLOSES, ERRORS, PROMISES
from realtime.protocol.subscriptions import SNAPSHOT_MAX
from realtime.protocol.vocabulary import ClientFrame, ServerFrame
from realtime.streams import Stream, channels
from realtime.structs.json_schema import REF, Schema, example, schemas

SOCKET = "#/channels/socket"
QUERY = {
    "hello": {"type": "string", "enum": ["1"], "description": "greet me with `connected`, unasked"},
    "client_id": {"type": "string", "maxLength": 64, "description": "a name of your own, for the logs"},
    "token": {"type": "string", "description": "where the server asks for one"},
}
# What a request may be answered with, besides an error; what a subscription begins with comes behind its answer.
ANSWERS = {
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "ping": "pong",
    "get_subscriptions": "subscriptions",
    "hello": "connected",
}


def document(version: str, host: str, *, is_secure: bool) -> Schema:
    """The whole document, for the server behind `host`."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Hyperwatch", "version": version, "description": _description()},
        "defaultContentType": "application/json",
        "servers": {"here": {"host": host, "protocol": "wss" if is_secure else "ws"}},
        **_body(),
    }


def _description() -> str:
    return "\n\n".join([ABOUT, "\n".join(f"- {promise}" for promise in PROMISES)])


@cache
def _body() -> Schema:
    streams = catalog.subscribable_streams()
    pushed = {stream.name: list(catalog.pushed(stream)) for stream in streams}
    messages = [*catalog.requests(), *catalog.answers(), *chain.from_iterable(pushed.values())]
    structs = [*(message.struct for message in messages), *map(catalog.params, streams)]
    known = schemas(structs, {values for stream in streams for values in stream.params.values() if values})
    return {
        "channels": {"socket": _socket(message.key for message in messages)},
        "operations": {**_receiving(), **_sending(pushed)},
        "components": {
            "messages": {message.key: _told(message, known) for message in messages},
            "schemas": known,
        },
        "x-promises": list(PROMISES),
        "x-error-codes": {code.value: about for code, about in ERRORS.items()},
        "x-close-codes": {str(int(code)): about for code, about in CLOSES.items()},
        "x-limits": _limits(),
    }


def _limits() -> dict[str, Schema]:
    limits = {
        "frame_bytes": (settings.WEBSOCKET_MAX_MESSAGE_BYTES, "The longest frame that the server takes, in bytes."),
        "frames": (settings.WEBSOCKET_MESSAGE_RATE, "Frames that a connection may send; more are `RATE_LIMITED`."),
        "refused_frames": (settings.WEBSOCKET_INVALID_MESSAGE_RATE, "Refused frames; one more closes with 4400."),
        "param_values": (
            settings.WEBSOCKET_MAX_FILTER_VALUES,
            "Coins, addresses, types and whales that a connection's params may name together.",
        ),
        "connections": (
            settings.WEBSOCKET_MAX_CONNECTIONS_PER_IP or settings.WEBSOCKET_MAX_CONNECTIONS,
            "Connections from one address to one process; one more closes with 4429.",
        ),
        "ping_seconds": (
            settings.WEBSOCKET_PING_INTERVAL_SECONDS,
            "After so many seconds of silence a client is pinged.",
        ),
        "pong_seconds": (
            settings.WEBSOCKET_PING_TIMEOUT_SECONDS,
            "After so many seconds without a pong the connection is cut.",
        ),
        "snapshot": (SNAPSHOT_MAX, "The most that a snapshot of events has."),
        "replay": (settings.STREAM_REPLAY_MAX, "The most facts that `since` brings; further back there is a gap."),
        "ring_bytes": (settings.STREAM_HISTORY_MAX_BYTES, "So many bytes of a channel are kept for who falls behind."),
    }
    return {name: {"value": value, "description": about} for name, (value, about) in limits.items()}


def _socket(keys: Iterable[str]) -> Schema:
    query = {"type": "object", "properties": QUERY}
    return {
        "address": "/ws",
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in keys},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _receiving() -> dict[str, Schema]:
    return {
        request: _operation("receive", [request])
        | {"reply": {"channel": {"$ref": SOCKET}, "messages": _messages([answer, "error"])}}
        for request, answer in ANSWERS.items()
    }


def _sending(pushed: Mapping[str, Iterable[MessageDoc]]) -> dict[str, Schema]:
    """What comes unasked: a channel's frames, and the greeting that the URL asks for."""
    streams = {
        name: _operation("send", [*(message.key for message in messages), "gap"])
        | {
            "title": name,
            "tags": [{"name": "state" if channels()[name].is_state else "events"}],
            "x-params": {"$ref": REF + catalog.params_name(channels()[name])},
        }
        for name, messages in pushed.items()
    }
    return {**streams, "greet": _operation("send", ["connected"])}


def _operation(action: str, keys: Iterable[str]) -> Schema:
    return {"action": action, "channel": {"$ref": SOCKET}, "messages": _messages(keys)}


def _messages(keys: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"{SOCKET}/messages/{key}"} for key in keys]


def _told(message: MessageDoc, known: Mapping[str, Schema]) -> Schema:
    return {
        "name": message.type,
        "title": message.key,
        "summary": message.about,
        "payload": {"$ref": REF + message.struct.__name__},
        "examples": [{"payload": payload} for payload in _examples(message, known)],
    }


def _examples(message: MessageDoc, known: Mapping[str, Schema]) -> list[Any]:
    if message.type == ClientFrame.SUBSCRIBE:
        return [{"type": message.type, **_subscription(stream, known)} for stream in catalog.subscribable_streams()]
    payload = example(known[message.struct.__name__], known)
    if message.type == ServerFrame.SUBSCRIPTIONS:
        first = _subscription(catalog.subscribable_streams()[0], known)
        payload |= {"params": first["params"], "subscriptions": {first["channels"][0]: first["params"]}}
    return [payload]


def _subscription(stream: Stream, known: Mapping[str, Schema]) -> Schema:
    """To one channel, with all the params that are its own."""
    params = example(known[catalog.params_name(stream)], known)
    return {"channels": [stream.name], "params": {name: params[name] for name in params if name not in COMMON}}
