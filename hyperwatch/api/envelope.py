"""The envelope around every answer (rest.md), and how an answer becomes bytes.

{"code": 200, "message": "success", "data": …, "timestamp": "…Z"}
{"code": 400, "message": "Invalid parameter", "error": "…", "details": {"field": ["…"]}, "timestamp": "…Z"}
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.functional import Promise

from hyperwatch.api import clock

SUCCESS = "success"
MESSAGES = {status.value: status.phrase for status in HTTPStatus} | {400: "Invalid parameter"}

Details = Mapping[str, list[str]]


class AgePlaceholder:
    """In the data of an answer: how old something of this time is, in seconds, when the answer goes out."""

    def __init__(self, time: datetime) -> None:
        self.time = time


class ResponseTemplate:
    """An encoded answer that waits for the moment it goes out at, by which its timestamp and ages are told.

    So it can be kept, and go out again. The places left open are between NULs, which JSON never has in it.
    """

    def __init__(self, data: Any, status: int = 200) -> None:
        encoded = encode({"code": status, "message": SUCCESS, "data": data, "timestamp": _NOW})
        self._pieces = encoded.split(b"\0")
        self._times = [datetime.fromisoformat(place.decode()) if place else None for place in self._pieces[1::2]]
        self.size = len(encoded)

    def render(self, now: datetime) -> bytes:
        pieces = self._pieces.copy()
        pieces[1::2] = [_encode_plain(clock.age_seconds(time, now) if time else now) for time in self._times]
        return b"".join(pieces)


_NOW = msgspec.Raw(b"\0\0")
_encode_plain = msgspec.json.Encoder().encode


def _wire(value: object) -> str | msgspec.Raw:
    # msgspec encodes str and no subclass of it; whatever else it does not know is a mistake of ours.
    if isinstance(value, str | Promise):
        return str(value)
    if isinstance(value, AgePlaceholder):
        return msgspec.Raw(b"\0%b\0" % value.time.isoformat().encode())
    raise TypeError(f"{type(value).__name__} has no form on the wire")


encode = msgspec.json.Encoder(enc_hook=_wire).encode


def success_body(data: Any, status: int = 200) -> bytes:
    """`data` in its envelope: rows as structs, raw JSON, dicts, lists; times come out in UTC with `Z`."""
    return ResponseTemplate(data, status).render(clock.now())


def error_body(status: int, error: str, details: Details | None = None) -> bytes:
    """An error in its envelope; `details` names the fields at fault and why."""
    envelope = {"code": status, "message": MESSAGES.get(status, "Error"), "error": error}
    told = {"details": details} if details else {}
    return encode({**envelope, **told, "timestamp": clock.now()})


def error_response(status: int, error: str) -> HttpResponse:
    """An enveloped error from outside the views: a middleware, an unrouted path."""
    return HttpResponse(error_body(status, error), status=status, content_type="application/json")
