"""The AsyncAPI document of the WebSocket: `/api/asyncapi` as JSON, `/docs/ws` as a page."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hyperwatch import __version__
from realtime.protocol.asyncapi import document as asyncapi_document

Document = dict[str, Any]

# Longer JSON examples are indented over several lines.
MAX_ONE_LINE_EXAMPLE_LENGTH = 150


@require_safe
def asyncapi(request: HttpRequest) -> JsonResponse:
    return JsonResponse(_document(request), json_dumps_params={"ensure_ascii": False})


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    document = _document(request)
    server = document["servers"]["here"]
    socket = document["channels"]["socket"]
    operations = document["operations"]
    requests = [name for name, operation in operations.items() if operation["action"] == "receive"]
    channels = [name for name, operation in operations.items() if "x-params" in operation]
    responses = [name for name in document["components"]["messages"] if _is_response(document, name)]
    context = {
        "version": __version__,
        "address": f"{server['protocol']}://{server['host']}{socket['address']}",
        "query": socket["bindings"]["ws"]["query"]["properties"],
        "about": document["info"]["description"].partition("\n\n")[0],
        "guarantees": document["x-promises"],
        "requests": [_message(document, name) for name in requests],
        "channels": [_channel(document, name) for name in channels],
        "responses": [_message(document, name) for name in responses],
        "errors": document["x-error-codes"],
        "close_codes": document["x-close-codes"],
        "limits": document["x-limits"],
    }
    return render(request, "hyperwatch/socket.html", context)


def _document(request: HttpRequest) -> Document:
    return asyncapi_document(__version__, request.get_host(), is_secure=request.is_secure())


def _is_response(document: Document, name: str) -> bool:
    """Whether a message is neither a client's request nor a channel's frame. Every channel shares the last, `gap`."""
    operations = document["operations"]
    channel_messages = [_message_names(operation)[:-1] for operation in operations.values() if "x-params" in operation]
    return name not in operations and not any(name in names for names in channel_messages)


def _message_names(operation: Document) -> list[str]:
    return [message["$ref"].rpartition("/")[2] for message in operation["messages"]]


def _message(document: Document, name: str) -> Document:
    message = document["components"]["messages"][name]
    examples = [_pretty(example["payload"]) for example in message["examples"]]
    return {"name": message["name"], "summary": message["summary"], "examples": examples}


def _channel(document: Document, name: str) -> Document:
    operation = document["operations"][name]
    frame, *other_frames, _gap = _message_names(operation)
    params = _resolve(document, operation["x-params"])
    payload = document["components"]["messages"][frame]["payload"]
    data = _resolve(document, _resolve(document, payload)["properties"]["data"])
    return {
        "name": name,
        "kind": operation["tags"][0]["name"],
        "frame": _message(document, frame),
        "other_frames": [_message(document, key) for key in other_frames],
        "params": list(_fields(document, params)),
        "data": list(_fields(document, data)),
        "request": next(_pretty(request) for request in _subscribe_examples(document) if request["channels"] == [name]),
    }


def _subscribe_examples(document: Document) -> Iterator[Document]:
    for example in document["components"]["messages"]["subscribe"]["examples"]:
        yield example["payload"]


def _fields(document: Document, schema: Document, prefix: str = "") -> Iterator[Document]:
    """Each field with its accepted values; fields of `filters` have the prefix `filters.`."""
    for name, field in schema["properties"].items():
        if name == "filters":
            yield from _fields(document, _resolve(document, field), "filters.")
        else:
            yield {
                "name": prefix + name,
                "accepted": _accepted(document, field),
                "is_required": name in schema["required"],
            }


def _accepted(document: Document, field: Document) -> str:
    schema = _resolve(document, field)
    if "anyOf" in schema and "description" not in schema:
        return " or ".join(_accepted(document, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "items" in schema:
        return f"list of: {_accepted(document, schema['items'])}"
    bounds = f", {schema['minimum']} to {schema['maximum']}" if schema.get("maximum", 2**31) < 2**31 - 1 else ""
    return str(schema.get("description") or schema.get("type", "")) + bounds


def _resolve(document: Document, schema: Document) -> Document:
    """The schema itself, or the component that its `$ref` names."""
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: Document = document["components"]["schemas"][name] if name else schema
    return resolved


def _pretty(payload: Document) -> str:
    text = json.dumps(payload, ensure_ascii=False)
    is_short = len(text) <= MAX_ONE_LINE_EXAMPLE_LENGTH
    return text if is_short else json.dumps(payload, ensure_ascii=False, indent=2)
