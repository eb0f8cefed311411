"""The envelope of every API response (rest.md), and its encoding.

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

from hyperwatch import formats
from hyperwatch.api import clock

SUCCESS = "success"
MESSAGES = {status.value: status.phrase for status in HTTPStatus} | {400: "Invalid parameter"}

Details = Mapping[str, list[str]]


class AgePlaceholder:
    """A value in response data: replaced by the seconds since `time` when the response is rendered."""

    def __init__(self, time: datetime) -> None:
        self.time = time


class ResponseTemplate:
    """An encoded success response with placeholders for its timestamp and ages, so that it can be cached.

    Placeholders are enclosed in NUL bytes, which JSON text never contains.
    """

    def __init__(self, data: Any, status: int = 200) -> None:
        encoded = encode({"code": status, "message": SUCCESS, "data": data, "timestamp": _TIMESTAMP_PLACEHOLDER})
        self._chunks = encoded.split(b"\0")
        # An empty placeholder is the timestamp, others are the time of an age.
        self._times = [datetime.fromisoformat(text.decode()) if text else None for text in self._chunks[1::2]]
        self.size = len(encoded)

    def render(self, now: formats.UtcTime) -> bytes:
        chunks = self._chunks.copy()
        chunks[1::2] = [_encode_plain(clock.age_seconds(time, now) if time else now) for time in self._times]
        return b"".join(chunks)


_TIMESTAMP_PLACEHOLDER = msgspec.Raw(b"\0\0")
_encode_plain = msgspec.json.Encoder(enc_hook=formats.encode_time).encode


def _encode_other(value: object) -> str | msgspec.Raw:
    # msgspec encodes str, but none of its subclasses (lazy translations, ErrorDetail). Any other type is a bug.
    if isinstance(value, str | Promise):
        return str(value)
    if isinstance(value, AgePlaceholder):
        return msgspec.Raw(b"\0%b\0" % value.time.isoformat().encode())
    return formats.encode_time(value)


encode = msgspec.json.Encoder(enc_hook=_encode_other).encode


def success_body(data: Any, status: int = 200) -> bytes:
    """`data` (structs, raw JSON, dicts, lists) in the envelope; times are in UTC with `Z`."""
    return ResponseTemplate(data, status).render(clock.now())


def error_body(status: int, error: str, details: Details | None = None) -> bytes:
    """An error in the envelope; `details` has the reasons by invalid field."""
    envelope = {"code": status, "message": MESSAGES.get(status, "Error"), "error": error}
    optional = {"details": details} if details else {}
    return encode({**envelope, **optional, "timestamp": clock.now()})


def error_response(status: int, error: str) -> HttpResponse:
    """An error response from outside the views: from middleware or for an unrouted path."""
    return HttpResponse(error_body(status, error), status=status, content_type="application/json")
