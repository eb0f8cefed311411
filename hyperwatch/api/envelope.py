"""The envelope around every answer (rest.md), and how an answer becomes bytes.

{"code": 200, "message": "success", "data": …, "timestamp": "…Z"}
{"code": 400, "message": "Invalid parameter", "error": "…", "details": {"field": ["…"]}, "timestamp": "…Z"}
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.functional import Promise

from hyperwatch.api import clock

SUCCESS = "success"
MESSAGES = {status.value: status.phrase for status in HTTPStatus} | {400: "Invalid parameter"}

Details = Mapping[str, list[str]]


def _text(value: object) -> str:
    # msgspec encodes str and no subclass of it; whatever else it does not know is a mistake of ours.
    if isinstance(value, str | Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form on the wire")


_encode = msgspec.json.Encoder(enc_hook=_text).encode


def success(data: Any, status: int = 200) -> bytes:
    """`data` in its envelope: rows as structs, raw JSON, dicts, lists; times come out in UTC with `Z`."""
    return _encode({"code": status, "message": SUCCESS, "data": data, "timestamp": clock.now()})


def failure(status: int, error: str, details: Details | None = None) -> bytes:
    """An error in its envelope; `details` names the fields at fault and why."""
    envelope = {"code": status, "message": MESSAGES.get(status, "Error"), "error": error}
    told = {"details": details} if details else {}
    return _encode({**envelope, **told, "timestamp": clock.now()})


def failed(status: int, error: str) -> HttpResponse:
    """An enveloped error from outside the views: a middleware, an unrouted path."""
    return HttpResponse(failure(status, error), status=status, content_type="application/json")
