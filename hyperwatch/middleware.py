"""A request's id in its answer and its log lines, and what requests cost."""

import logging
import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Histogram

log = structlog.stdlib.get_logger("hyperwatch.requests")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# What browsers and orchestrators ask for by themselves.
QUIET = ("/static/", "/health", "/metrics", "/favicon.ico")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

REQUESTS = Histogram("hyperwatch_http_seconds", "Time to answer a request", ["method", "route", "status"])


class RequestLogMiddleware:
    """Takes `X-Request-ID` from the client where it is a sensible one, and makes one otherwise."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._get_response(request)
            self._note(request, response, time.perf_counter() - began)
        response.headers["X-Request-ID"] = request_id
        return response

    @staticmethod
    def _note(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        match = request.resolver_match
        # The route and not the path: a label for each wallet would be a label without end.
        route = match.route if match else "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(method, route, str(response.status_code)).observe(seconds)
        level = logging.WARNING if response.status_code >= 500 else logging.INFO
        if request.path.startswith(QUIET) and response.status_code < 400:
            level = logging.DEBUG
        log.log(
            level,
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
