"""`/health`, answered on the event loop: needs no worker thread, no database and no known Host header."""

import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from hyperwatch.cache.cache_middleware import Headers, HttpReply
from hyperwatch.middleware.request_log import log_request, request_id_from
from hyperwatch.middleware.security_headers import security_headers

LIVENESS_PATH = "/health"
LIVENESS_BODY = b'{"status": "healthy"}'


def is_liveness_check(scope: Mapping[str, Any]) -> bool:
    return scope["path"] == LIVENESS_PATH and scope["method"] in ("GET", "HEAD")


def liveness_reply(scope: Mapping[str, Any]) -> HttpReply:
    started_at = time.perf_counter()
    given = dict(scope["headers"])
    request_id = request_id_from(given.get(b"x-request-id", b"").decode("latin1"))
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(LIVENESS_BODY)),
        "X-Request-ID": request_id,
        **security_headers(LIVENESS_PATH),
        **_cors_headers(given.get(b"origin", b"").decode("latin1")),
    }
    log_request(request_id, scope["method"], LIVENESS_PATH, "health", 200, time.perf_counter() - started_at)
    return HttpReply(200, _encoded(headers), LIVENESS_BODY)


def _cors_headers(origin: str) -> dict[str, str]:
    """As django-cors-headers adds them for the views."""
    if settings.CORS_ALLOW_ALL_ORIGINS:
        return {"Access-Control-Allow-Origin": "*"} if origin else {}
    allowed = {"Access-Control-Allow-Origin": origin} if origin in settings.CORS_ALLOWED_ORIGINS else {}
    return {"Vary": "origin", **allowed}


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.encode(), value.encode("latin1")) for name, value in headers.items()]
