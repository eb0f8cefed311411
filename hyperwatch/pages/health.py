"""`/health`: liveness. `/health/ready`: readiness of PostgreSQL, Redis and Kafka. `/metrics`: Prometheus metrics."""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from hyperwatch.db.statement_timeout import statement_timeout
from hyperwatch.formats import isoformat
from hyperwatch.metrics import DATABASE_REGISTRY
from hyperwatch.server.liveness import LIVENESS_BODY
from realtime.ingest.data_loss import recent_gaps
from realtime.kafka.admin import KafkaUnavailable, existing_topics, topics
from realtime.storage import database_metrics  # noqa: F401 (registers its collector)
from realtime.storage.sequences import latest_times

CHECK_TIMEOUT_SECONDS = 1.5
# Results up to this age are served without a new check.
FRESH_SECONDS = 1.0
# Results up to this age are served while another request runs the checks.
STALE_SECONDS = 10.0
# A request without usable results waits this long for the running checks, because it occupies a worker thread.
REFRESH_WAIT_SECONDS = 5.0

Check = dict[str, Any]


def health(request: HttpRequest) -> HttpResponse:
    """For `runserver`: the web server answers it before the views (server/liveness.py)."""
    return HttpResponse(LIVENESS_BODY, content_type="application/json")


def metrics(request: HttpRequest) -> HttpResponse:
    body = generate_latest(REGISTRY) + generate_latest(DATABASE_REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def ready(request: HttpRequest) -> JsonResponse:
    """503 if the database cannot be read; with `?strict=1` also if any other check is not ok."""
    checks = readiness_cache.checks()
    is_down = checks["database"]["status"] != "ok"
    is_ok = all(check["status"] == "ok" for check in checks.values())
    status = "down" if is_down else "ok" if is_ok else "degraded"
    is_bad = is_down or (request.GET.get("strict", "").lower() in ("1", "true") and not is_ok)
    return JsonResponse({"status": status, "checks": checks}, status=503 if is_bad else 200)


class ReadinessCache:
    """Runs the checks once for concurrent requests.

    Readiness requests are not rate limited, and checks of an unavailable service take seconds.
    """

    def __init__(self) -> None:
        self._refresh_lock = threading.Lock()
        self._results: dict[str, Check] = {}
        self._checked_at = -math.inf

    def checks(self) -> dict[str, Check]:
        """Results at most FRESH_SECONDS old, or at most STALE_SECONDS while another thread refreshes them."""
        wait = REFRESH_WAIT_SECONDS if self._age() > STALE_SECONDS else 0
        if self._age() > FRESH_SECONDS and self._refresh_lock.acquire(timeout=wait):
            try:
                if self._age() > FRESH_SECONDS:
                    self._results = {name: check() for name, check in CHECKS.items()}
                    self._checked_at = time.monotonic()
            finally:
                self._refresh_lock.release()
        if self._age() > STALE_SECONDS:
            return {
                **self._results,
                "database": {"status": "down", "error": "unknown: the first check has not finished"},
            }
        return self._results

    def _age(self) -> float:
        return time.monotonic() - self._checked_at


readiness_cache = ReadinessCache()


def _database() -> Check:
    """Also reports the freshness of each stream: the time of its newest fact, null if it has none."""
    try:
        with statement_timeout(CHECK_TIMEOUT_SECONDS):
            newest = latest_times()
    except (DatabaseError, InterfaceError):
        return {"status": "down", "error": "the database is unavailable"}
    return {"status": "ok", "streams": {name: _freshness(time) for name, time in newest.items()}}


def _freshness(newest: datetime | None) -> dict[str, Any]:
    if newest is None:
        return {"newest": None, "age_seconds": None}
    return {"newest": isoformat(newest), "age_seconds": round((datetime.now(UTC) - newest).total_seconds(), 1)}


def _channel_layer() -> Check:
    if not settings.REDIS_URL:
        return {"status": "ok", "kind": "in memory"}
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=CHECK_TIMEOUT_SECONDS,
            socket_connect_timeout=CHECK_TIMEOUT_SECONDS,
            retry=None,
        ) as client:
            client.ping()
    except (redis.RedisError, OSError):
        return {"status": "down", "error": "Redis is unavailable; web processes read new facts from the database"}
    return {"status": "ok", "kind": "Redis"}


def _kafka() -> Check:
    try:
        missing = {topic.name for topic in topics()} - existing_topics(CHECK_TIMEOUT_SECONDS)
    except KafkaUnavailable as error:
        return {"status": "down", "error": f"no new facts arrive, Kafka is unavailable: {error}"}
    if missing:
        return {"status": "down", "error": f"no topic {', '.join(sorted(missing))}; `manage.py init_db` creates it"}
    return _kafka_gaps()


def _kafka_gaps() -> Check:
    """Messages that Kafka's retention removed unread within the last day, by partition."""
    try:
        with statement_timeout(CHECK_TIMEOUT_SECONDS):
            lost = recent_gaps()
    except (DatabaseError, InterfaceError):
        # The database check reports this error.
        return {"status": "ok"}
    if not lost:
        return {"status": "ok"}
    error = f"Kafka removed {sum(lost.values())} messages of the last day before they were read; they are lost"
    return {"status": "degraded", "error": error, "lost": lost}


CHECKS: dict[str, Callable[[], Check]] = {
    "database": _database,
    "channel_layer": _channel_layer,
    "kafka": _kafka,
}
