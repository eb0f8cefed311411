"""A request's id in its answer and its log lines, and what requests cost."""

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

# What browsers and orchestrators ask for by themselves.
UNLOGGED_ROUTES = ("/static/", "/health", "/metrics", "/favicon.ico")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class RequestLogMiddleware:
    """Takes `X-Request-ID` from the client where it is a sensible one, and makes one otherwise."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = id_of_request(request.headers.get("X-Request-ID", ""))
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._get_response(request)
        seconds = time.perf_counter() - began
        log_request(request_id, request.method or "", request.path, route_of(request), response.status_code, seconds)
        response.headers["X-Request-ID"] = request_id
        return response


def id_of_request(given: str) -> str:
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def route_of(request: HttpRequest) -> str:
    """Of a request that was answered. Not its path: a label for each wallet would be a label without end."""
    match = request.resolver_match
    return match.route if match else "none"


def log_request(request_id: str, method: str, path: str, route: str, status: int, seconds: float) -> None:
    """A request's log line, and its time in the metrics."""
    label = method if method in METHODS else "other"
    HTTP_REQUEST_DURATION_SECONDS.labels(label, route, str(status)).observe(seconds)
    level = logging.WARNING if status >= 500 else logging.INFO
    if path.startswith(UNLOGGED_ROUTES) and status < 400:
        level = logging.DEBUG
    ms = round(seconds * 1000, 1)
    log.log(level, "request", request_id=request_id, method=method, path=path, status=status, ms=ms)
