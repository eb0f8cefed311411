"""Pages beside the API: start page, health, readiness, metrics, log lines."""

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.redis import RedisServer
from hyperwatch.pages import health
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def test_start_page_names_streams_and_needs_no_other_host() -> None:
    text = Client().get("/", headers=BROWSER).content.decode()
    for name in ("liquidations", "liquidation_map", "long_short_ratios", "transactions", "whale_activities"):
        assert f'data-channel="{name}"' in text
    assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []


@pytest.mark.parametrize("is_simulated", [True, False])
def test_a_simulated_market_is_called_so_on_every_page(settings: Settings, is_simulated: bool) -> None:
    settings.SIMULATED_DATA = is_simulated
    for path in ("/", "/admin/login/", "/api/v1/coins"):
        assert ("simulated" in Client().get(path, headers=BROWSER).content.decode().lower()) is is_simulated


def test_a_program_is_told_where_to_look() -> None:
    answer = Client().get("/")
    assert set(answer.json()) == {"message", "version", "docs"}


@pytest.mark.parametrize("path", ["/static/hyperwatch/start.js", "/static/hyperwatch/start.css", "/favicon.ico"])
def test_the_page_has_its_parts(path: str) -> None:
    assert Client().get(path, follow=True).status_code == 200


def test_health_is_alive_and_metrics_are_told() -> None:
    assert Client().get("/health").json() == {"status": "healthy"}
    assert b"hyperwatch_ingest_rows_stored_total" in Client().get("/metrics").content


@pytest.fixture(autouse=True)
def nobody_has_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "readiness_cache", health.ReadinessCache())


def test_readiness_reports_parts_and_stream_freshness(mock_kafka: MockKafka) -> None:
    stored(builders.liquidation())
    answer = Client().get("/health/ready?strict=1")
    ready = answer.json()
    assert (answer.status_code, ready["status"]) == (200, "ok")
    assert {name: check["status"] for name, check in ready["checks"].items()} == {
        "database": "ok", "channel_layer": "ok", "kafka": "ok",
    }  # fmt: skip
    streams = ready["checks"]["database"]["streams"]
    assert streams["liquidations"]["newest"] == "2026-01-10T10:30:00.000000Z"
    assert streams["transactions"] == {"newest": None, "age_seconds": None}


def test_readiness_without_kafka_is_degraded_and_strictly_503() -> None:
    for query, status in (("", 200), ("?strict=1", 503)):
        answer = Client().get(f"/health/ready{query}")
        assert (answer.status_code, answer.json()["status"]) == (status, "degraded")
        assert answer.json()["checks"]["kafka"]["status"] == "down"


def test_concurrent_readiness_requests_share_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for the check while there is an earlier result."""
    looks, goes_on = list[int](), Event()

    def look() -> health.Check:
        looks.append(1)
        assert len(looks) == 1 or goes_on.wait(20)
        return {"status": "ok"}

    monkeypatch.setattr(health, "CHECKS", {"database": look})
    monkeypatch.setattr(health, "FRESH_SECONDS", 60.0)
    assert [is_ready() for _ in range(5)] == [200] * 5
    assert len(looks) == 1
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    with ThreadPoolExecutor(1) as other:
        looking = other.submit(is_ready)
        wait_until(lambda: len(looks) == 2, "another look")
        assert [is_ready() for _ in range(5)] == [200] * 5
        goes_on.set()
        assert looking.result() == 200
    assert len(looks) == 2


def is_ready() -> int:
    return Client().get("/health/ready").status_code


def test_a_redis_that_is_away_is_told(
    settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = redis_server.url
    assert Client().get("/health/ready").json()["checks"]["channel_layer"]["status"] == "ok"
    redis_server.stop()
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    assert Client().get("/health/ready").json()["checks"]["channel_layer"]["status"] == "down"


def test_request_id_is_in_response_and_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hyperwatch.requests"):
        answer = Client().get("/api/v1/coins", headers={"X-Request-ID": "mine-7"})
    assert answer.headers["X-Request-ID"] == "mine-7"
    assert any("mine-7" in str(record.msg) for record in caplog.records if record.name == "hyperwatch.requests")


@pytest.mark.parametrize(
    ("path", "status"), [("/api/v1/nothing", 404), ("/api/v1/liquidations?page=0", 400), ("/static/nothing", 404)]
)
def test_a_refused_request_is_one_log_line(path: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert Client().get(path).status_code == status
    (line,) = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert (line.name, f"'status': {status}" in str(line.msg)) == ("hyperwatch.requests", True)


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, "é", "a;b"])
def test_invalid_request_id_is_replaced(bad: str) -> None:
    given = Client().get("/api/v1/coins", HTTP_X_REQUEST_ID=bad).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_log_lines_for_machines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    from hyperwatch.log_config import configure_logging

    try:
        configure_logging("INFO", "json")
        logging.getLogger("somewhere").warning("what happened: %s", "this")
        line = json.loads(capsys.readouterr().err.splitlines()[-1])
    finally:
        configure_logging("INFO", "console")
    assert (line["event"], line["level"], line["logger"]) == ("what happened: this", "warning", "somewhere")
