"""`/health`: it lives. `/health/ready`: whether what it needs does, too. `/metrics`: in figures."""

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
from realtime.ingest.data_loss import recent_gaps
from realtime.kafka.admin import KafkaUnavailable, existing_topics, topics
from realtime.storage import database_metrics  # noqa: F401 (registers its collector)
from realtime.storage.sequences import latest_times

PATIENCE = 1.5
# What was found is told again for so long; while somebody looks anew, a little longer. Who comes later than that waits
# for the one who looks, and not for ever: it takes a thread.
READINESS_CACHE_SECONDS = 1.0
STALE_SECONDS = 10.0
LOOK_SECONDS = 5.0

Check = dict[str, Any]


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "healthy"})


def metrics(request: HttpRequest) -> HttpResponse:
    body = generate_latest(REGISTRY) + generate_latest(DATABASE_REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def ready(request: HttpRequest) -> JsonResponse:
    """503 only where the database cannot be read; with `?strict=1` for anything that is not ok."""
    checks = readiness_cache.checks()
    is_down = checks["database"]["status"] != "ok"
    is_ok = all(check["status"] == "ok" for check in checks.values())
    status = "down" if is_down else "ok" if is_ok else "degraded"
    is_bad = is_down or (request.GET.get("strict") == "1" and not is_ok)
    return JsonResponse({"status": status, "checks": checks}, status=503 if is_bad else 200)


class ReadinessCache:
    """One looks for all: who asks for readiness is not counted, and a look where something is away takes seconds."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._found: dict[str, Check] = {}
        self._found_at = -math.inf

    def checks(self) -> dict[str, Check]:
        """What each part says, found by a look that ended within READINESS_CACHE_SECONDS, or by the one before it."""
        wait = LOOK_SECONDS if self._age() > STALE_SECONDS else 0
        if self._age() > READINESS_CACHE_SECONDS and self._looking.acquire(timeout=wait):
            try:
                if self._age() > READINESS_CACHE_SECONDS:
                    self._found = {name: check() for name, check in CHECKS.items()}
                    self._found_at = time.monotonic()
            finally:
                self._looking.release()
        if self._age() > STALE_SECONDS:
            return {**self._found, "database": {"status": "down", "error": "nothing is known: a look is not done yet"}}
        return self._found

    def _age(self) -> float:
        return time.monotonic() - self._found_at


readiness_cache = ReadinessCache()


def _database() -> Check:
    """With the database comes how fresh each stream is: the time of its newest fact, null where there is none."""
    try:
        with statement_timeout(PATIENCE):
            newest = latest_times()
    except (DatabaseError, InterfaceError):
        return {"status": "down", "error": "the database does not answer"}
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
            settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=None
        ) as client:
            client.ping()
    except (redis.RedisError, OSError):
        return {"status": "down", "error": "Redis does not answer; new facts reach clients from the database"}
    return {"status": "ok", "kind": "Redis"}


def _kafka() -> Check:
    try:
        missing = {topic.name for topic in topics()} - existing_topics(PATIENCE)
    except KafkaUnavailable:
        return {"status": "down", "error": "Kafka does not answer; nothing new arrives"}
    if missing:
        return {"status": "down", "error": f"no topic {', '.join(sorted(missing))}; `manage.py init_db` creates it"}
    return _lost()


def _lost() -> Check:
    """What Kafka removed within the last day before it was read, by partition."""
    try:
        with statement_timeout(PATIENCE):
            lost = recent_gaps()
    except (DatabaseError, InterfaceError):
        # That is the database's trouble, and told as such.
        return {"status": "ok"}
    if not lost:
        return {"status": "ok"}
    told = f"Kafka removed {sum(lost.values())} messages of the last day before they were read; they are lost"
    return {"status": "degraded", "error": told, "lost": lost}


CHECKS: dict[str, Callable[[], Check]] = {
    "database": _database,
    "channel_layer": _channel_layer,
    "kafka": _kafka,
}
