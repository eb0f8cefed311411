"""Request log: request ids, one log line for each request, and the latency metric."""

import logging
import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

from hyperwatch.metrics import HTTP_REQUEST_DURATION_SECONDS

log = structlog.stdlib.get_logger("hyperwatch.requests")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# Routine requests of browsers, orchestrators and Prometheus; logged at DEBUG unless they fail.
UNLOGGED_ROUTES = ("/static/", "/health", "/metrics", "/favicon.ico")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class RequestLogMiddleware:
    """Adds `X-Request-ID` to log lines and the response: the client's if it matches REQUEST_ID, else a new one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_from(request.headers.get("X-Request-ID", ""))
        started_at = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._get_response(request)
        seconds = time.perf_counter() - started_at
        log_request(request_id, request.method or "", request.path, route_label(request), response.status_code, seconds)
        response.headers["X-Request-ID"] = request_id
        return response


def request_id_from(header: str) -> str:
    return header if REQUEST_ID.fullmatch(header) else uuid.uuid4().hex


def route_label(request: HttpRequest) -> str:
    """The URL pattern of a processed request. Paths as labels would have unbounded cardinality: one for each wallet."""
    match = request.resolver_match
    return match.route if match else "none"


def log_request(request_id: str, method: str, path: str, route: str, status: int, seconds: float) -> None:
    """Writes the log line and observes the duration."""
    label = method if method in METHODS else "other"
    HTTP_REQUEST_DURATION_SECONDS.labels(label, route, str(status)).observe(seconds)
    level = logging.WARNING if status >= 500 else logging.INFO
    if path.startswith(UNLOGGED_ROUTES) and status < 400:
        level = logging.DEBUG
    ms = round(seconds * 1000, 1)
    log.log(level, "request", request_id=request_id, method=method, path=path, status=status, ms=ms)
