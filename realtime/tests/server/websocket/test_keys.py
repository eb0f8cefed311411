"""Keys where reads need one: access, and that no key is logged."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from rest_framework_api_key.models import APIKey
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.commands import Start
from realtime.delivery.key_revocation import KeyWatcher
from realtime.protocol.vocabulary import CloseCode
from realtime.tests.faults.test_limits import closed_with
from realtime.tests.rawsocket import connected, request
from realtime.tests.websocket_client import client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]


@pytest.fixture
def web(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    """It says as much as it ever does."""
    with commands.running("serve", tmp_path, DATABASE_URL=test_database_url) as start:
        yield start(ALLOW_ANONYMOUS_READS="false", LOG_LEVEL="DEBUG")


def refused(url: str) -> int:
    with client(url) as ws:
        return closed_with(ws)[0]


def gets_in(url: str) -> bool:
    with client(url) as ws:
        return bool(ws.ask(type="ping")["type"] == "pong")


def fetch(web: AppProcess, path: str, **headers: str) -> tuple[int, str]:
    params = urllib.request.Request(f"{web.url}{path}", headers=headers)  # noqa: S310 (http, ours)
    try:
        with urllib.request.urlopen(params, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


WRONG = ["", "wrong", "a.b", "NoSuchKy.Of32SignsWhichNobodyWasEverGiven", "a\0.b", "é", "x" * 5_000]


def test_only_usable_key_connects_and_is_never_logged(web: AppProcess) -> None:
    key, text = APIKey.objects.create_key(name="reader")
    for wrong in WRONG:
        assert refused(f"{web.ws_url}?token={quote(wrong)}") == 4401
    assert refused(web.ws_url) == 4401
    assert refused(f"{web.ws_url}?token={text}&token=wrong") == 4401
    assert gets_in(f"{web.ws_url}?token={text}&hello=0")
    returned = [said_of_bad_requests(web, text), fetch(web, "/metrics")[1]]
    key.revoked = True
    key.save()
    assert refused(f"{web.ws_url}?token={text}") == 4401
    log = web.output()
    assert "hyperwatch.requests" in log
    for place in [*returned, log]:
        # By its second half: the first half is a public prefix.
        assert text.partition(".")[2] not in place
        assert "NobodyWasEverGiven" not in place


def test_key_in_first_frame_opens_the_connection(web: AppProcess) -> None:
    key, text = APIKey.objects.create_key(name="reader")
    with client(f"{web.ws_url}?client_id=bot") as ws:
        connected = ws.ask(type="authenticate", token=text)
        assert (connected["type"], connected["client_id"]) == ("connected", "bot")
        ws.subscribe("liquidations")
        key.revoked = True
        key.save()
        assert closed_with(ws)[0] == 4401
    assert text.partition(".")[2] not in web.output()


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "authenticate", "token": "wrong"},
        {"type": "authenticate", "token": None},
        {"type": "authenticate"},
        {"type": "ping"},
        {"type": "subscribe", "channels": ["liquidations"]},
        {"type": 7},
    ],
)
def test_first_frame_without_valid_key_closes_with_4401(web: AppProcess, frame: dict[str, Any]) -> None:
    with client(web.ws_url) as ws:
        ws.socket.send(json.dumps(frame))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                assert ws.receive()["type"] == "error"
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_unusable_key_disconnects_its_websocket(web: AppProcess) -> None:
    (revoked, first), (expired, second), (_, third) = [APIKey.objects.create_key(name=name) for name in "abc"]
    with (
        client(f"{web.ws_url}?token={first}") as one,
        client(f"{web.ws_url}?token={second}") as two,
        client(f"{web.ws_url}?token={third}") as three,
    ):
        for ws in (one, two, three):
            ws.subscribe("liquidations")
        revoked.revoked, expired.expiry_date = True, timezone.now()
        revoked.save()
        expired.save()
        assert [closed_with(ws)[0] for ws in (one, two)] == [4401, 4401]
        assert three.ask(type="ping")["type"] == "pong"


class Listening:
    """A client that notes with what code it was sent away."""

    transport: Any = None
    code: CloseCode | None = None

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def close_with(self, code: CloseCode) -> None:
        self.code = code
        self.gone.set()


def test_key_check_survives_a_database_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [DatabaseError("server closed the connection unexpectedly"), InterfaceError("connection already closed")]

    def usable_prefixes(prefixes: Collection[str]) -> set[str]:
        if looks:
            raise looks.pop()
        return set(prefixes) - {"revoked"}

    async def listen() -> tuple[CloseCode | None, CloseCode | None]:
        watcher, one, other = KeyWatcher(), Listening(), Listening()
        watcher.watch(one, "revoked.secret")
        watcher.watch(other, "good.secret")
        await asyncio.wait_for(one.gone.wait(), 10)
        watcher.unwatch(one)
        watcher.unwatch(other)
        return one.code, other.code

    monkeypatch.setattr("hyperwatch.api.keys._usable_prefixes", usable_prefixes)
    monkeypatch.setattr("realtime.delivery.key_revocation.KEY_CHECK_INTERVAL_SECONDS", 0.01)
    assert asyncio.run(listen()) == (CloseCode.UNAUTHORISED, None)
    assert looks == []


def said_of_bad_requests(web: AppProcess, key: str) -> str:
    """All that is answered to a key in the wrong place."""
    said = []
    for path in ("/api/v1/coins", "/api/v1/nothing", "/ws", "/nowhere", "/"):
        said.append(fetch(web, f"{path}?token={key}")[1].replace(f"?token={key}", ""))
    said.append(fetch(web, "/api/v1/coins", Authorization=f"Api-Key {key}")[1])
    said.append(fetch(web, "/api/v1/coins", Authorization=f"Api-Key {key}x")[1])
    for odd in ({"sec_websocket_version": "7"}, {"sec_websocket_key": "short"}, {"sec_websocket_protocol": "é"}):
        with connected(web.port) as raw, suppress(ConnectionError):
            said.append(str(raw.shake_hands(request(f"GET /ws?token={key} HTTP/1.1", **odd))))
    with connected(web.port) as raw:
        said.append(str(raw.shake_hands(request(f"GET /elsewhere?token={key} HTTP/1.1"))))
    return "".join(said)


def test_unavailable_database_closes_handshake_with_1001(web_server: Start, fresh_database: Database) -> None:
    web = web_server(ALLOW_ANONYMOUS_READS="false")
    postgres = fresh_database.sibling("postgres")
    postgres.query(f'ALTER DATABASE "{fresh_database.name}" ALLOW_CONNECTIONS false')
    postgres.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{fresh_database.name}'")
    assert refused(f"{web.ws_url}?token=a.b") == 1001
    postgres.query(f'ALTER DATABASE "{fresh_database.name}" ALLOW_CONNECTIONS true')
    assert refused(f"{web.ws_url}?token=a.b") == 4401
