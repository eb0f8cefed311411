"""`/api/asyncapi` and `/docs/ws`: the WebSocket's document, for programs and to read."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hyperwatch import __version__
from realtime.protocol.asyncapi import document

Document = dict[str, Any]


@require_safe
def asyncapi(request: HttpRequest) -> JsonResponse:
    return JsonResponse(_document(request), json_dumps_params={"ensure_ascii": False})


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    told = _document(request)
    server = told["servers"]["here"]
    socket = told["channels"]["socket"]
    operations = told["operations"]
    requests = [name for name, operation in operations.items() if operation["action"] == "receive"]
    context = {
        "version": __version__,
        "address": f"{server['protocol']}://{server['host']}{socket['address']}",
        "query": socket["bindings"]["ws"]["query"]["properties"],
        "about": told["info"]["description"].partition("\n\n")[0],
        "promises": told["x-promises"],
        "requests": [_message(told, name) for name in requests],
        "channels": [_channel(told, name) for name, operation in operations.items() if "x-params" in operation],
        "answers": [_message(told, name) for name in told["components"]["messages"] if _is_answer(told, name)],
        "errors": told["x-error-codes"],
        "closes": told["x-close-codes"],
        "limits": told["x-limits"],
    }
    return render(request, "hyperwatch/socket.html", context)


def _document(request: HttpRequest) -> Document:
    return document(__version__, request.get_host(), is_secure=request.is_secure())


def _is_answer(told: Document, name: str) -> bool:
    """Whether it is neither asked nor a channel's."""
    operations = told["operations"]
    of_channels = [_keys(operation)[:-1] for operation in operations.values() if "x-params" in operation]
    return name not in operations and not any(name in keys for keys in of_channels)


def _keys(operation: Document) -> list[str]:
    return [message["$ref"].rpartition("/")[2] for message in operation["messages"]]


def _message(told: Document, name: str) -> Document:
    message = told["components"]["messages"][name]
    examples = [_pretty(example["payload"]) for example in message["examples"]]
    return {"name": message["name"], "summary": message["summary"], "examples": examples}


def _channel(told: Document, name: str) -> Document:
    operation = told["operations"][name]
    frame, *several, _gap = _keys(operation)
    params = _named(told, operation["x-params"])
    payload = told["components"]["messages"][frame]["payload"]
    data = _named(told, _named(told, payload)["properties"]["data"])
    return {
        "name": name,
        "kind": operation["tags"][0]["name"],
        "frame": _message(told, frame),
        "several": [_message(told, key) for key in several],
        "params": list(_fields(told, params)),
        "data": list(_fields(told, data)),
        "request": next(_pretty(request) for request in _requests(told) if request["channels"] == [name]),
    }


def _requests(told: Document) -> Iterator[Document]:
    for example in told["components"]["messages"]["subscribe"]["examples"]:
        yield example["payload"]


def _fields(told: Document, schema: Document, prefix: str = "") -> Iterator[Document]:
    """Each field with what it takes; those of `filters` under their full names."""
    for name, field in schema["properties"].items():
        if name == "filters":
            yield from _fields(told, _named(told, field), "filters.")
        else:
            yield {"name": prefix + name, "takes": _takes(told, field), "is_required": name in schema["required"]}


def _takes(told: Document, field: Document) -> str:
    schema = _named(told, field)
    if "anyOf" in schema and "description" not in schema:
        return " or ".join(_takes(told, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "items" in schema:
        return f"list of: {_takes(told, schema['items'])}"
    bounds = f", {schema['minimum']} to {schema['maximum']}" if schema.get("maximum", 2**31) < 2**31 - 1 else ""
    return str(schema.get("description") or schema.get("type", "")) + bounds


def _named(told: Document, schema: Document) -> Document:
    name = schema.get("$ref", "").rpartition("/")[2]
    named: Document = told["components"]["schemas"][name] if name else schema
    return named


def _pretty(payload: Document) -> str:
    text = json.dumps(payload, ensure_ascii=False)
    return text if len(text) <= 150 else json.dumps(payload, ensure_ascii=False, indent=2)
