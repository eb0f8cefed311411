"""Texts and examples of the OpenAPI document that many operations share."""

from collections.abc import Mapping
from typing import Any

from rest_framework import exceptions

from hyperwatch.api import envelope
from hyperwatch.api.errors import Conflict, ServiceUnavailable

EXAMPLE_TIME = "2026-01-10T10:30:05.250000Z"
EXAMPLE_WALLET = "0x49f3000000000000000000000000000000008d2b"
EXAMPLE_HASH = "0x" + "c3" * 32
EXAMPLE_FACT_TIME = "2026-01-10T10:30:00.123000Z"
EXAMPLE_EPOCH = "5f2b8c1e9d3a4f60"
EXAMPLE_HEAD = 1234
EXAMPLE_STREAM = {"head": EXAMPLE_HEAD, "epoch": EXAMPLE_EPOCH}
EXAMPLE_PAGINATION = {"page": 1, "total": 1, "total_pages": 1, "total_exact": True, "page_size": 20}

# By name: a parameter has one meaning in all operations.
PARAMETER_PURPOSES = {
    "activity_type": "Filter by activity type.",
    "coin": "Filter by coin.",
    "end_time": "End of the time window, exclusive.",
    "interval": "Length of an interval, `1h` if omitted.",
    "is_active": "Filter by state of the watch.",
    "limit": "Maximum number of rows, 20 if omitted.",
    "max_value_usd": "Maximum value in USD, inclusive.",
    "min_value_usd": "Minimum value in USD, inclusive.",
    "page": "Page number.",
    "page_size": "Rows per page.",
    "price_range": "Lowest and highest price level, both inclusive.",
    "side": "Filter by side.",
    "start_time": "Start of the time window, inclusive.",
    "timestamp": "Return the latest map at or before this time; the newest map if omitted.",
    "tx_hash": "Transaction hash.",
    "tx_type": "Filter by transaction type.",
    "user_address": "Filter by wallet address.",
    "whale_id": "Id of the watched wallet, from `GET /api/v1/whales`.",
}

ERROR_TEXTS: dict[int, Any] = {
    401: exceptions.NotAuthenticated.default_detail,
    403: exceptions.PermissionDenied.default_detail,
    404: exceptions.NotFound.default_detail,
    409: Conflict.default_detail,
    413: "the body is larger than 1048576 bytes",
    415: 'Unsupported media type "text/plain" in request.',
    429: "Request was throttled. Expected available in 12 seconds.",
    500: "internal error; the server log has the details",
    503: ServiceUnavailable.default_detail,
}


def parameter_text(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAPI parameter with its purpose in front of its format.

    Swagger UI fills in examples and defaults and would send them as filters. So an optional parameter has them in its
    description only; a required one keeps its example.
    """
    schema = dict(parameter["schema"])
    sentences = [parameter["description"]]
    if parameter["in"] == "path" or not parameter.get("required"):
        sentences.insert(0, PARAMETER_PURPOSES.get(parameter["name"], ""))
    if not parameter.get("required"):
        values = {label: schema.pop(label, None) for label in ("example", "default")}
        sentences += [f"{label.capitalize()}: `{value}`." for label, value in values.items() if value is not None]
    return {**parameter, "description": " ".join(filter(None, sentences)), "schema": schema}


def success_example(data: Any) -> dict[str, Any]:
    return {"code": 200, "message": envelope.SUCCESS, "data": data, "timestamp": EXAMPLE_TIME}


def page_example(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"items": [row], "pagination": EXAMPLE_PAGINATION, **EXAMPLE_STREAM}


def invalid_example(name: str, reason: str) -> dict[str, Any]:
    """A 400 for one parameter or body field."""
    return _error(400, reason) | {"details": {name: [reason]}}


def error_example(status: int) -> dict[str, Any]:
    return _error(status, str(ERROR_TEXTS[status]))


def _error(status: int, error: str) -> dict[str, Any]:
    return {"code": status, "message": envelope.MESSAGES[status], "error": error, "timestamp": EXAMPLE_TIME}
