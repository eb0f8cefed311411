"""Any request, with any headers, gets a documented response and logs no error.

test_api_fuzz covers documented parameters and bodies; this module covers the rest.
"""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.rawhttp import Answer, raw, request
from hyperwatch.tests.services import commands
from realtime.tests.mutants import Change, byte_changes, values, with_other_bytes

GENERATED = settings(
    max_examples=100,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.generate],
)
# The contract's status codes, redirects and files beside the API, and rejected requests.
TOLD = {200, 301, 302, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 429, 431}

PATHS = [
    "/api/v1/liquidations", "/api/v1/liquidations/stats", "/api/v1/transactions", "/api/v1/coins", "/api/v1/whales",
    "/api/v1/whales/1", "/api/v1/nothing", "/api/schema", "/api/asyncapi", "/", "/docs/ws", "/health", "/metrics",
    "/static/hyperwatch/start.js", "/admin/login/", "/favicon.ico",
]  # fmt: skip
HEADERS = [
    "Accept", "Accept-Encoding", "Accept-Language", "Access-Control-Request-Headers", "Access-Control-Request-Method",
    "Authorization", "Connection", "Content-Encoding", "Content-Type", "Cookie", "Daphne-Root-Path", "Expect",
    "Forwarded", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Range", "Referer", "Trailer",
    "Upgrade", "User-Agent", "X-CSRFToken", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
    "X-HTTP-Method-Override", "X-Request-ID", "X_Odd",
]  # fmt: skip
ODD = [
    "", " ", ",", ";", "*", "*/*;q=0", "text/html", "application/json;;", "gzip;q=x", "Api-Key", "Api-Key \xe9.\x01",
    "Basic ====", "a=b; =; sessionid=\xff", "W/", '"x", W/"', "bytes=0-0,5-", "null", "http://", "https://[::1",
    "127.0.0.1:x", "a, b, 1.2.3.4", "%00", "é", "x" * 3_000, "websocket", "100-continue", "Sat, 99 Foo 1999", "utf-8",
]  # fmt: skip

printable = some.text(some.characters(min_codepoint=32, max_codepoint=255), max_size=20)
headers = some.tuples(some.sampled_from(HEADERS), some.sampled_from(ODD) | printable)
queries = some.lists(
    some.tuples(some.sampled_from(["coin", "page", "cursor", "format", "start_time", "x"]), some.text(max_size=10)),
    max_size=3,
)
methods = some.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE", "PUT", "BREW"])
bodies = some.just(b"") | values.map(lambda value: repr(value).encode("utf-8", "replace")) | some.binary(max_size=50)


@pytest.fixture(scope="module")
def web(_migrated: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    database = _migrated.copy()
    limits = {
        "THROTTLE_READS": "1000000/second",
        "THROTTLE_WRITES": "1000000/second",
        "HTTP_REQUEST_TIMEOUT_SECONDS": "1",
    }
    with commands.running("serve", tmp_path_factory.mktemp("web"), **database.env, **limits) as start:
        yield start()
    database.drop()


def requested(web: AppProcess, sent: bytes) -> Answer:
    with raw(web) as anonymous:
        anonymous.send(sent)
        answer = anonymous.answer()
        return answer if answer.status != 100 else anonymous.answer()


def to_query(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={quote(value, errors='replace')}" for name, value in pairs)


def to_request(line: str, odd: list[tuple[str, str]], body: bytes, cut: list[Change]) -> bytes:
    # What follows a head alone is the end of the connection, and not what it says.
    reported = ["Connection: close", *(f"{name}: {value}" for name, value in odd)]
    return with_other_bytes(request(line, *reported, f"Content-Length: {len(body)}", body=body), cut)


lines = some.builds("{} {}?{} HTTP/1.1".format, methods, some.sampled_from(PATHS), queries.map(to_query))
cuts = some.lists(byte_changes, max_size=1)


@GENERATED
@given(some.builds(to_request, lines, some.lists(headers, max_size=4), bodies, cuts))
def test_every_request_is_answered_as_it_is_told(web: AppProcess, sent: bytes) -> None:
    answer = requested(web, sent)
    assert answer.status in TOLD, answer
    if answer.headers.get("content-type") == "application/json" and answer.body.startswith(b'{"code":'):
        assert answer.reported["code"] == answer.status
    assert web.unexpected_traceback() == ""


def test_nobody_says_by_a_header_where_our_paths_begin(web: AppProcess) -> None:
    answer = requested(web, request("GET /admin/ HTTP/1.1", "Daphne-Root-Path: //elsewhere.example"))
    assert (answer.status, answer.headers["location"]) == (302, "/admin/login/?next=/admin/")


def test_invalid_host_is_rejected_in_one_log_line(web: AppProcess) -> None:
    before = len(web.output().splitlines())
    answer = requested(web, b"GET /api/v1/coins HTTP/1.1\r\nHost: a~b\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.reported["code"]) == (400, 400)
    assert len(web.output().splitlines()) == before + 1
