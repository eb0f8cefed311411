"""Every error in its envelope, from wherever it comes; and nothing of the inside in any."""

import json
import logging
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from hyperwatch.tests.api_client import ask, authorization, write
from realtime.storage import sequences

pytestmark = pytest.mark.django_db(transaction=True)

WHALE = json.dumps({"wallet_address": "0x" + "a" * 40})


def post(body: str | bytes, status: int, content_type: str = "application/json") -> dict[str, Any]:
    return ask("/whales", status, "POST", data=body, content_type=content_type, **authorization())


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["", "/", "/nothing", "/nothing/", "/whales/1/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_leads_nowhere_is_not_found(settings: Settings, debug: bool, path: str, method: str) -> None:
    settings.DEBUG = debug
    returned = ask(path, 404, method)
    assert returned["message"] == "Not Found"
    assert returned["error"] == f"no resource at /api/v1{path}"


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/liquidations"])
def test_beside_the_version_there_is_nothing_either(path: str) -> None:
    response = Client().get(path)
    assert (response.status_code, response.json()["code"]) == (404, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_disallowed_method_returns_405_with_allowed_methods(method: str) -> None:
    assert ask("/liquidations", 405, method)["error"] == f'Method "{method}" not allowed.'
    response = Client().generic(method, "/api/v1/liquidations")
    assert response["Allow"] == "GET, HEAD, OPTIONS"


def test_head_and_options_are_answered() -> None:
    assert Client().head("/api/v1/liquidations").status_code == 200
    assert ask("/liquidations", 200, "OPTIONS")["data"]["name"]


@pytest.mark.parametrize("path", ["/liquidations", "/liquidations/recent", "/positions", "/coins"])
def test_view_error_is_json_for_csv_clients(path: str) -> None:
    response = Client().options(f"/api/v1{path}", headers={"Accept": "text/csv, application/json;q=0.5"})
    assert response.json()["data"]["name"]
    assert ask(f"{path}?format=csv", 400, "OPTIONS")["error"]


@pytest.mark.parametrize(
    "body", ["{", "", "NaN", '{"wallet_address": 1e999999}', b"\xff\xfe", "[" * 100_000, '{"a": ' * 9_000]
)
def test_invalid_json_or_whale_body_is_rejected(body: str | bytes) -> None:
    assert post(body, 400)["error"]


def test_a_body_of_another_type_is_refused() -> None:
    assert "text/plain" in post(WHALE, 415, "text/plain")["error"]
    post("wallet_address=0x", 415, "application/x-www-form-urlencoded")


def test_a_body_that_is_too_large_is_refused(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    post(WHALE + " " * (1_000 - len(WHALE)), 200)
    assert "1000 bytes" in post(WHALE + " " * (1_001 - len(WHALE)), 413)["error"]


@pytest.mark.parametrize(
    "path", ["/liquidations/stats?format=xml", "/nothing?format=xml", "/whales/1?format=csv&page=0"]
)
def test_unknown_format_is_rejected_by_name(path: str) -> None:
    returned = ask(path, 400)
    assert returned["error"] == "format takes json or api"
    assert list(returned["details"]) == ["format"]


@pytest.mark.parametrize("accept", ["application/xml", "image/png", "nonsense", "*/*", "application/json", ""])
def test_whoever_accepts_what_we_do_not_have_gets_json(accept: str) -> None:
    ask("/liquidations", HTTP_ACCEPT=accept)
    ask("/nothing", 404, HTTP_ACCEPT=accept)


def test_server_error_is_logged_and_answered_without_details(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_asked: Any) -> None:
        raise ValueError("the password is swordfish")

    monkeypatch.setattr(sequences, "stream_snapshot", fail)
    with caplog.at_level(logging.ERROR):
        returned = ask("/liquidations", 500)
    assert "swordfish" not in json.dumps(returned)
    assert "GET /api/v1/liquidations" in caplog.text
    assert "swordfish" in caplog.text


@pytest.mark.parametrize("path", ["/liquidations", "/whales", "/coins", "/liquidation-map?coin=BTC"])
def test_unavailable_database_returns_503_with_retry_after(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    with monkeypatch.context() as unavailable:
        unavailable.setitem(connection.settings_dict, "HOST", "/nowhere")
        returned = ask(path, 503)
        write("POST", "/whales", {}, 503, HTTP_AUTHORIZATION="Api-Key a.b")
        ask("/nothing", 404)
    connection.close()
    assert returned["error"] == "the database is unavailable; try again in a few seconds"
    ask("/whales")


def test_what_a_middleware_refuses_is_enveloped_under_the_api(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    response = Client().get("/api/v1/liquidations", HTTP_HOST="evil.example")
    assert (response.status_code, response.json()["code"]) == (400, 400)
    assert Client().get("/docs", HTTP_HOST="evil.example")["Content-Type"].startswith("text/html")


def test_a_failing_middleware_is_told_without_its_text(settings: Settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.failing"]
    response = Client(raise_request_exception=False).get("/api/v1/liquidations")
    assert (response.status_code, response.json()["code"]) == (500, 500)
    assert b"swordfish" not in response.content


def failing(_get_response: Any) -> Any:
    def middleware(_request: Any) -> None:
        raise ValueError("the password is swordfish")

    return middleware
