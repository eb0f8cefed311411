"""The AsyncAPI document of the WebSocket, built from the registered streams and the structs of the frames.

https://www.asyncapi.com/docs/reference/specification/v3.0.0. The socket is one AsyncAPI channel. Each of our channels
is an operation with the action `send`, with the schema of its params in `x-params`.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain
from typing import Any

from django.conf import settings

from realtime.protocol import catalog
from realtime.protocol.catalog import MessageDoc
from realtime.protocol.descriptions import CLOSES, ERRORS, GUARANTEES, OVERVIEW
from realtime.protocol.subscriptions import COMMON_PARAMS, MAX_SNAPSHOT_ROWS
from realtime.protocol.vocabulary import ClientFrame, ServerFrame
from realtime.streams import Stream, channels
from realtime.structs.json_schema import REF, Schema, example, schemas

SOCKET_REF = "#/channels/socket"
QUERY_PARAMETERS = {
    "hello": {"type": "string", "enum": ["1"], "description": "the server sends `connected` first, without a request"},
    "client_id": {"type": "string", "maxLength": 64, "description": "your name for the connection"},
    "token": {"type": "string", "description": "API key, if the server requires one; or send `authenticate`"},
}
# The response to each request, besides `error`. The first frames of a subscription follow the response.
RESPONSES = {
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "ping": "pong",
    "get_subscriptions": "subscriptions",
    "hello": "connected",
    "authenticate": "connected",
}


def document(version: str, host: str, *, is_secure: bool) -> Schema:
    """The document for the server at `host`."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Hyperwatch", "version": version, "description": _description()},
        "defaultContentType": "application/json",
        "servers": {"here": {"host": host, "protocol": "wss" if is_secure else "ws"}},
        **_body(),
    }


def _description() -> str:
    return "\n\n".join([OVERVIEW, "\n".join(f"- {guarantee}" for guarantee in GUARANTEES)])


@cache
def _body() -> Schema:
    streams = catalog.subscribable_streams()
    by_channel = {stream.name: list(catalog.channel_messages(stream)) for stream in streams}
    messages = [*catalog.request_messages(), *catalog.response_messages(), *chain.from_iterable(by_channel.values())]
    structs = [*(message.struct for message in messages), *map(catalog.params_schema, streams)]
    definitions = schemas(structs, {values for stream in streams for values in stream.params.values() if values})
    return {
        "channels": {"socket": _socket_channel(message.key for message in messages)},
        "operations": {**_receive_operations(), **_send_operations(by_channel)},
        "components": {
            "messages": {message.key: _message(message, definitions) for message in messages},
            "schemas": definitions,
        },
        "x-promises": list(GUARANTEES),
        "x-error-codes": {code.value: text for code, text in ERRORS.items()},
        "x-close-codes": {str(int(code)): text for code, text in CLOSES.items()},
        "x-limits": _limits(),
    }


def _limits() -> dict[str, Schema]:
    limits = {
        "frame_bytes": (settings.WEBSOCKET_MAX_MESSAGE_BYTES, "Longest frame that the server accepts, in bytes."),
        "frames": (settings.WEBSOCKET_MESSAGE_RATE, "Frames that a connection may send; more are `RATE_LIMITED`."),
        "refused_frames": (settings.WEBSOCKET_INVALID_MESSAGE_RATE, "Invalid frames; one more closes with 4400."),
        "param_values": (
            settings.WEBSOCKET_MAX_FILTER_VALUES,
            "Coins, addresses, types and whales in the params of a connection, in total.",
        ),
        "connections": (
            settings.WEBSOCKET_MAX_CONNECTIONS_PER_IP or settings.WEBSOCKET_MAX_CONNECTIONS,
            "Connections from one address to one process; one more closes with 4429.",
        ),
        "ping_seconds": (
            settings.WEBSOCKET_PING_INTERVAL_SECONDS,
            "Seconds without a frame from the client until the server pings it.",
        ),
        "pong_seconds": (
            settings.WEBSOCKET_PING_TIMEOUT_SECONDS,
            "Seconds without a pong until the server closes the connection.",
        ),
        "snapshot": (MAX_SNAPSHOT_ROWS, "Largest `snapshot` of an event channel."),
        "replay": (
            settings.STREAM_REPLAY_MAX,
            "Events that `since` can reach back; a `gap` frame names the range before them.",
        ),
        "ring_bytes": (
            settings.STREAM_HISTORY_MAX_BYTES,
            "Bytes of recent frames of each channel in memory, for clients that fall behind.",
        ),
    }
    return {name: {"value": value, "description": text} for name, (value, text) in limits.items()}


def _socket_channel(keys: Iterable[str]) -> Schema:
    query = {"type": "object", "properties": QUERY_PARAMETERS}
    return {
        "address": "/ws",
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in keys},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _receive_operations() -> dict[str, Schema]:
    return {
        request: _operation("receive", [request])
        | {"reply": {"channel": {"$ref": SOCKET_REF}, "messages": _messages([response, "error"])}}
        for request, response in RESPONSES.items()
    }


def _send_operations(by_channel: Mapping[str, Iterable[MessageDoc]]) -> dict[str, Schema]:
    """The frames of each channel, and `connected` as the URL parameter `hello` requests it."""
    streams = {
        name: _operation("send", [*(message.key for message in messages), "gap"])
        | {
            "title": name,
            "tags": [{"name": "state" if channels()[name].is_state else "events"}],
            "x-params": {"$ref": REF + catalog.params_name(channels()[name])},
        }
        for name, messages in by_channel.items()
    }
    return {**streams, "greet": _operation("send", ["connected"])}


def _operation(action: str, keys: Iterable[str]) -> Schema:
    return {"action": action, "channel": {"$ref": SOCKET_REF}, "messages": _messages(keys)}


def _messages(keys: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"{SOCKET_REF}/messages/{key}"} for key in keys]


def _message(message: MessageDoc, definitions: Mapping[str, Schema]) -> Schema:
    return {
        "name": message.type,
        "title": message.key,
        "summary": message.description,
        "payload": {"$ref": REF + message.struct.__name__},
        "examples": [{"payload": payload} for payload in _examples(message, definitions)],
    }


def _examples(message: MessageDoc, definitions: Mapping[str, Schema]) -> list[Any]:
    if message.type == ClientFrame.SUBSCRIBE:
        return [
            {"type": message.type, **_subscription(stream, definitions)} for stream in catalog.subscribable_streams()
        ]
    payload = example(definitions[message.struct.__name__], definitions)
    if message.type == ServerFrame.SUBSCRIPTIONS:
        first = _subscription(catalog.subscribable_streams()[0], definitions)
        payload |= {"params": first["params"], "subscriptions": {first["channels"][0]: first["params"]}}
    return [payload]


def _subscription(stream: Stream, definitions: Mapping[str, Schema]) -> Schema:
    """A request for one channel with all params that only this channel has."""
    params = example(definitions[catalog.params_name(stream)], definitions)
    return {"channels": [stream.name], "params": {name: params[name] for name in params if name not in COMMON_PARAMS}}
