"""Forms of HTTP requests that other clients send: absolute targets, other slashes, TLS, CORS of browsers."""

import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.rawhttp import Answer, raw, request
from hyperwatch.tests.services import commands

pytestmark = pytest.mark.django_db

ORIGIN = "https://a.example"
EXPOSED = {
    "etag", "content-disposition", "retry-after", "x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining",
    "x-ratelimit-reset", "x-hyperwatch-head", "x-hyperwatch-epoch",
}  # fmt: skip


@pytest.fixture(scope="module")
def web(_migrated: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    database = _migrated.copy()
    with commands.running("serve", tmp_path_factory.mktemp("web"), **database.env) as start:
        yield start(CORS_ALLOWED_ORIGINS=ORIGIN, ALLOWED_HOSTS="127.0.0.1,localhost,here.example")
    database.drop()


def send(web: AppProcess, data: bytes) -> Answer:
    with raw(web) as connection:
        connection.send(data)
        return connection.answer()


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def test_request_forms_of_other_clients_are_answered(web: AppProcess) -> None:
    coins = b"/api/v1/coins HTTP/1.1\r\n"
    statuses = {
        b"GET http://here.example:80" + coins + b"Host: other.example\r\n\r\n": 200,
        b"GET HTTP://here.example?page=1 HTTP/1.1\r\nHost: x\r\n\r\n": 200,
        b"GET http://other.example" + coins + b"Host: localhost\r\n\r\n": 400,
        b"GET " + coins + b"\r\n": 400,
        b"GET " + coins + b"Host: localhost\r\nHost: localhost\r\n\r\n": 400,
        b"GET /api/v1/coins HTTP/1.0\r\nHost: localhost\r\n\r\n": 200,
    }
    assert {data: send(web, data).status for data in statuses} == statuses
    places = {
        "GET /admin": "/admin/",
        "GET /admin/whales/whalewatch?q=a": "/admin/login/?next=/admin/whales/whalewatch%3Fq%3Da",
        "GET /api/v1/coins/?format=csv": "/api/v1/coins?format=csv",
        "POST /api/v1/whales/": "/api/v1/whales",
        "GET /health/": "/health",
    }
    answers = {line: send(web, request(f"{line} HTTP/1.1", "Content-Length: 0")) for line in places}
    assert {line: answer.headers.get("location") for line, answer in answers.items()} == places
    assert answers["POST /api/v1/whales/"].status == 308
    for path in ("/api/v1/nothing/", "/api/v1/nothing", "/nothing/", "//a.example/"):
        assert send(web, request(f"GET {path} HTTP/1.1")).status == 404


def test_tls_on_plain_port_is_closed_at_once(web: AppProcess) -> None:
    context = ssl.create_default_context()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")
    assert time.monotonic() - began < 2


def test_browser_of_allowed_origin_uses_etag(web: AppProcess) -> None:
    path = "/api/v1/liquidations/recent HTTP/1.1"
    wanted = ("Access-Control-Request-Method: GET", "Access-Control-Request-Headers: if-none-match")
    preflight = send(web, request(f"OPTIONS {path}", f"Origin: {ORIGIN}", *wanted))
    assert "if-none-match" in names(preflight.headers["access-control-allow-headers"])
    first = send(web, request(f"GET {path}", f"Origin: {ORIGIN}"))
    assert names(first.headers["access-control-expose-headers"]) == EXPOSED
    for known in (first.headers["etag"], "*"):
        # The views answer the first request of a status, the cache the others.
        for _ in range(2):
            again = send(web, request(f"GET {path}", f"Origin: {ORIGIN}", f"If-None-Match: {known}"))
            assert (again.status, again.headers["access-control-allow-origin"]) == (304, ORIGIN)
    missing = request("GET /api/v1/liquidation-map?coin=BTC HTTP/1.1", "If-None-Match: *")
    assert send(web, missing).status == 404
