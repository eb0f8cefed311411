"""Limits of HTTP requests, byte by byte, and the responses beyond them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.rawhttp import chunk, raw, request
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.websocket_client import client, metric

pytestmark = pytest.mark.django_db

BODY, HEAD, URL, SECONDS = 4_096, 4_096, 1_024, 1
GET = "GET /api/v1/coins HTTP/1.1"
POST = "POST /api/v1/whales HTTP/1.1"


@pytest.fixture(scope="module")
def web(_migrated: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    database = _migrated.copy()
    limits = {
        "HTTP_MAX_BODY_BYTES": BODY,
        "HTTP_MAX_HEADER_BYTES": HEAD,
        "HTTP_MAX_REQUEST_LINE_BYTES": URL,
        "HTTP_REQUEST_TIMEOUT_SECONDS": SECONDS,
    }
    env = {name: str(value) for name, value in limits.items()} | database.env
    with commands.running("serve", tmp_path_factory.mktemp("web"), **env) as start:
        yield start(TCP_USER_TIMEOUT_SECONDS="1", HTTP_MAX_CONNECTIONS_PER_IP="5", WEBSOCKET_MAX_CONNECTIONS_PER_IP="0")
    database.drop()


def padded(size: int) -> bytes:
    """A request whose lines are `size` bytes long together."""
    bare = len(request(GET, "X-Pad: ").replace(b"\r\n", b""))
    return request(GET, f"X-Pad: {'x' * (size - bare)}")


def asked(size: int) -> bytes:
    """A request whose first line is `size` bytes long."""
    return request(f"GET /api/v1/coins?{'x' * (size - len(GET) - 1)} HTTP/1.1")


def whale(size: int) -> bytes:
    return b"{}".ljust(size)


CHUNKED = request(POST, "Content-Type: application/json", "Transfer-Encoding: chunked")

# The bytes, and the status of the response. A request at the limit reaches the API, which demands a key.
CASES = {
    "a body of all that may be": (request(POST, f"Content-Length: {BODY}", body=whale(BODY)), 401),
    "a body that says it is longer": (request(POST, f"Content-Length: {BODY + 1}"), 413),
    "a body that says it is endless": (request(POST, f"Content-Length: {10**30}"), 413),
    "a body that waits to be asked for": (request(POST, f"Content-Length: {BODY + 1}", "Expect: 100-continue"), 413),
    "chunks of all that may be": (CHUNKED + chunk(whale(BODY)) + b"0\r\n\r\n", 401),
    "a chunk that is longer": (CHUNKED + chunk(whale(BODY + 1)), 413),
    "chunks that are longer together": (CHUNKED + chunk(b" " * 100) * 41 + b"0\r\n\r\n", 413),
    "chunks that are no chunks": (CHUNKED + b"one two three\r\n", 400),
    "a head of all that may be": (padded(HEAD), 200),
    "a head that is longer": (padded(HEAD + 1), 431),
    "a header without an end": (request(GET)[:-2] + b"X-Pad: " + b"x" * 10 * HEAD, 431),
    "headers without an end": (request(GET)[:-2] + b"X-Pad: x\r\n" * HEAD, 431),
    "an address of all that may be": (asked(URL), 400),
    "an address that is longer": (asked(URL + 1), 414),
    "an address without an end": (b"GET /" + b"x" * 10 * HEAD, 414),
    "a query without an end": (b"GET /api/v1/coins?coin=" + b"x," * 10 * HEAD, 414),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "two lengths": (request(POST, "Content-Length: 2", "Content-Length: 2", body=b"{}"), 400),
    "a length and chunks": (request(POST, "Content-Length: 2", "Transfer-Encoding: chunked", body=b"{}"), 400),
    "a length that is no number": (request(POST, "Content-Length: -1"), 400),
    "a header that is none": (request(GET, "X Pad"), 400),
    "a header's name that is none": (request(GET, "X(Pad): 1"), 400),
    "an address that is not ASCII": (request("GET /api/v1/\xe9 HTTP/1.1"), 400),
    "a query that is not ASCII": (request("GET /api/v1/coins?\xe9 HTTP/1.1"), 400),
}


@pytest.mark.parametrize(("sent", "status"), CASES.values(), ids=list(CASES))
def test_oversized_request_is_rejected_and_limit_is_accepted(web: AppProcess, sent: bytes, status: int) -> None:
    with raw(web) as raw_client:
        raw_client.send(sent)
        answer = raw_client.answer()
        assert (answer.status, answer.reported["code"]) == (status, status), answer
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("origins", "told"), [("*", "*"), ("https://a.example", None)])
def test_rejection_is_readable_from_any_allowed_origin(web_server: Start, origins: str, told: str | None) -> None:
    web = web_server(CORS_ALLOWED_ORIGINS=origins, HTTP_MAX_BODY_BYTES=str(BODY))
    with raw(web) as raw_client:
        raw_client.send(request(POST, f"Content-Length: {BODY + 1}", "Origin: https://b.example"))
        answer = raw_client.answer()
        assert (answer.status, answer.headers.get("access-control-allow-origin")) == (413, told)


def test_rejection_while_sending_is_readable_without_reset(web: AppProcess) -> None:
    with raw(web) as raw_client:
        raw_client.socket.sendall(CHUNKED + chunk(b" " * 10_000) * 200)
        assert raw_client.answer().status == 413
        raw_client.socket.sendall(chunk(b" " * 10_000))
        assert raw_client.socket.recv(1) == b""


@pytest.mark.parametrize(
    "half",
    [request(GET)[:20], request(GET)[:-2], request(POST, "Content-Length: 100", body=b"{"), CHUNKED + chunk(b"{")],
    ids=["a line", "a head", "a body", "chunks"],
)
def test_slow_partial_request_returns_408(web: AppProcess, half: bytes) -> None:
    with raw(web) as raw_client:
        raw_client.socket.settimeout(0.1)
        raw_client.send(half[:-1])
        came = b""
        for _ in range(100):
            raw_client.send(half[-1:])
            with suppress(TimeoutError):
                came = raw_client.socket.recv(1000)
                break
        assert came.startswith(b"HTTP/1.1 408 ")
        assert b'"error":"the request has not arrived within 1 seconds"' in came


@pytest.mark.parametrize("before", [b"", request(GET)], ids=["nothing at all", "nothing more"])
def test_a_connection_without_a_request_is_closed(web: AppProcess, before: bytes) -> None:
    with raw(web) as raw_client:
        raw_client.send(before)
        assert not before or raw_client.answer().status == 200
        assert raw_client.ended()


def test_slow_response_is_no_partial_request(web: AppProcess) -> None:
    with raw(web) as raw_client:
        raw_client.send(request(GET) + request(GET) + request(GET)[:20])
        assert [raw_client.answer().status for _ in range(2)] == [200, 200]
        raw_client.send(request(GET)[20:])
        assert raw_client.answer().status == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has this option")
def test_client_that_reads_nothing_is_disconnected(web: AppProcess) -> None:
    wait_until(lambda: len(sockets_of(web)) == 1, "all others to be gone")
    with raw(web) as raw_client:
        raw_client.send(
            request("GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1") * 20
        )
        wait_until(lambda: len(sockets_of(web)) == 2, "its connection")
        wait_until(lambda: len(sockets_of(web)) == 1, "its end", 15)


def sockets_of(web: AppProcess) -> list[str]:
    """The one on which it listens, and those to its clients; others have no port of its."""
    return [line for line in Path("/proc/net/tcp").read_text().splitlines() if is_of(line.split(), web)]


def is_of(fields: list[str], web: AppProcess) -> bool:
    return fields[1].endswith(f":{web.port:04X}") and fields[3] in ("01", "0A")


def test_connections_are_limited_by_address_websockets_apart(web: AppProcess) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(client(web.ws_url)) for _ in range(7)]
        wait_until(lambda: metric(web, "hyperwatch_websocket_connections") == 7, "the sockets")
        time.sleep(0.2)
        several = [stack.enter_context(raw(web)) for _ in range(5)]
        with raw(web) as sixth:
            answer = sixth.answer()
            assert (answer.status, answer.headers["retry-after"], sixth.ended()) == (429, "1", True)
        several[0].send(request(GET))
        assert several[0].answer().status == 200
        assert sockets[0].ask(type="ping")["type"] == "pong"
    wait_until(lambda: answers(web), "room for another")


def answers(web: AppProcess) -> bool:
    with raw(web) as raw_client:
        raw_client.send(request(GET))
        return raw_client.answer().status == 200


def test_behind_a_proxy_its_connections_are_not_counted(web_server: Start) -> None:
    web = web_server(HTTP_MAX_CONNECTIONS_PER_IP="2", NUM_PROXIES="1")
    with ExitStack() as stack:
        for raw_client in [stack.enter_context(raw(web)) for _ in range(4)]:
            raw_client.send(request(GET))
            assert raw_client.answer().status == 200
