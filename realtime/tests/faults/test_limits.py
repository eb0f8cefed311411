"""Limits of a WebSocket client, and the errors beyond them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.rawsocket import Opcode, frame, more, opened, text
from realtime.tests.websocket_client import Client, client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

Serve = Callable[..., AppProcess]
PING = json.dumps({"type": "ping"})


@pytest.fixture
def serve(test_database_url: str, tmp_path: Path) -> Iterator[Serve]:
    env = {"DATABASE_URL": test_database_url, "STREAM_SYNC_INTERVAL_SECONDS": "0.1"}
    with commands.running("serve", tmp_path, **env) as start:
        yield start


def closed_with(ws: Client) -> tuple[int, str]:
    """Code and reason of the close, whatever comes before it."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.answer()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_frames_beyond_limit_are_rejected_until_window_ends(serve: Serve) -> None:
    with client(serve(WEBSOCKET_MESSAGE_RATE="5/second").ws_url) as ws:
        ws.subscribe("liquidations")
        answers = [ws.ask(type="ping") for _ in range(6)]
        assert [answer["type"] for answer in answers] == ["pong"] * 4 + ["error"] * 2
        assert answers[-1]["code"] == "RATE_LIMITED"
        assert answers[-1]["message"].startswith("More than 5/second frames; again in ")
        stored(builders.liquidation())
        ws.wait_for(1)
        time.sleep(1)
        assert ws.ask(type="ping")["type"] == "pong"


def test_invalid_frames_beyond_limit_close_with_4400(serve: Serve) -> None:
    web = serve(WEBSOCKET_INVALID_MESSAGE_RATE="3/minute")
    with client(web.ws_url) as bad, client(web.ws_url) as good:
        for _ in range(3):
            bad.socket.send("no json")
            assert bad.answer()["code"] == "INVALID_MESSAGE"
        bad.socket.send("no json")
        assert closed_with(bad)[0] == 4400
        assert good.ask(type="ping")["type"] == "pong"
        assert metric(web, 'hyperwatch_websocket_closed_total{code="4400"}') == 1


@pytest.mark.parametrize("extra", [frame(Opcode.PONG), frame(Opcode.PING, b"x"), more(b" ", fin=False)])
def test_control_frames_and_fragments_beyond_limit_close_with_4400(serve: Serve, extra: bytes) -> None:
    web = serve(WEBSOCKET_MESSAGE_RATE="5/minute", WEBSOCKET_INVALID_MESSAGE_RATE="3/minute")
    with opened(web.port) as raw:
        # Five within the limit, three that count as invalid, and one too many.
        raw.send(text(fin=False), extra * 7)
        assert metric(web, "hyperwatch_websocket_connections") == 1
        assert metric(web, "hyperwatch_websocket_closed_total") == 0
        raw.send(extra)
        returned = [raw.next()]
        while returned[-1] is not None and returned[-1].opcode != Opcode.CLOSE:
            returned.append(raw.next())
        assert returned[-1] is not None
        assert returned[-1].code == 4400
        assert raw.ended()
    assert metric(web, 'hyperwatch_websocket_closed_total{code="4400"}') == 1
    assert metric(web, 'hyperwatch_websocket_invalid_messages_total{code="RATE_LIMITED"}') == 4


def test_params_may_name_so_many_values_together(serve: Serve) -> None:
    with client(serve(WEBSOCKET_MAX_FILTER_VALUES="5").ws_url) as ws:
        ws.subscribe("liquidations", coins=["A", "B", "C"])
        ws.subscribe("transactions", coins=["A"], tx_types=["ORDER"])
        answer = ws.ask(type="subscribe", channels=["whale_activities"], params={"coins": ["A"]})
        assert (answer["type"], answer["code"]) == ("error", "LIMIT_EXCEEDED")
        assert ws.ask(type="get_subscriptions")["channels"] == ["liquidations", "transactions"]
        ws.subscribe("liquidations", coins=["A"])
        ws.subscribe("whale_activities", coins=["A", "B"])


def test_connections_beyond_address_limit_close_with_4429(serve: Serve) -> None:
    web = serve(WEBSOCKET_MAX_CONNECTIONS_PER_IP="2")
    with client(web.ws_url) as first, client(web.ws_url):
        with client(web.ws_url) as third:
            assert closed_with(third) == (4429, "Too many connections, in total or from one address.")
        assert first.ask(type="ping")["type"] == "pong"
        # The forwarded address is anybody's to write: here no proxy is believed.
        with client(web.ws_url, additional_headers={"X-Forwarded-For": "192.0.2.7"}) as liar:
            assert closed_with(liar)[0] == 4429
    wait_until(lambda: gets_in(web), "room for another")


def gets_in(web: AppProcess) -> bool:
    with client(web.ws_url) as ws:
        try:
            return bool(ws.ask(type="ping")["type"] == "pong")
        except ConnectionClosed:
            return False


def test_proxied_addresses_have_separate_connection_limits(serve: Serve) -> None:
    web = serve(WEBSOCKET_MAX_CONNECTIONS_PER_IP="1", NUM_PROXIES="1")
    with ExitStack() as stack:
        for address in ("192.0.2.1", "192.0.2.2"):
            headers = {"X-Forwarded-For": f"198.51.100.9, {address}"}
            ws = stack.enter_context(client(web.ws_url, additional_headers=headers))
            assert ws.ask(type="ping")["type"] == "pong"
        again = stack.enter_context(client(web.ws_url, additional_headers={"X-Forwarded-For": "192.0.2.1"}))
        assert closed_with(again)[0] == 4429


def test_connections_beyond_process_limit_close_with_4429(serve: Serve) -> None:
    web = serve(WEBSOCKET_MAX_CONNECTIONS="1", WEBSOCKET_MAX_CONNECTIONS_PER_IP="0")
    with client(web.ws_url), client(web.ws_url) as second:
        assert closed_with(second)[0] == 4429


def test_one_who_answers_no_ping_is_cut_off(serve: Serve) -> None:
    web = serve(WEBSOCKET_PING_INTERVAL_SECONDS="1", WEBSOCKET_PING_TIMEOUT_SECONDS="1")
    # Its library answers pings by itself; the raw client does not.
    with client(web.ws_url) as good, opened(web.port) as silent:
        wait_until(lambda: metric(web, "hyperwatch_websocket_connections") == 2, "both connections")
        ping = silent.next()
        assert ping is not None
        assert ping.opcode == Opcode.PING
        wait_until(lambda: metric(web, "hyperwatch_websocket_connections") == 1, "the silent one's end", 10)
        assert good.ask(type="ping")["type"] == "pong"


def test_flooding_frames_are_each_answered_once(serve: Serve) -> None:
    """What waits is bounded: the server stops reading where it has not answered yet, and goes on when it has."""
    count = 20_000
    with client(serve(WEBSOCKET_MESSAGE_RATE="1000000/minute").ws_url, max_queue=None) as ws:
        for _ in range(count):
            ws.socket.send(PING)
        assert [ws.answer()["type"] for _ in range(count)] == ["pong"] * count


def test_hello_tells_the_limits(serve: Serve) -> None:
    with client(serve(WEBSOCKET_MAX_MESSAGE_BYTES="2048", WEBSOCKET_MESSAGE_RATE="9/second").ws_url) as ws:
        assert ws.ask(type="hello")["limits"] == {
            "frame_bytes": 2048,
            "frames": "9/second",
            "param_values": 1000,
            "snapshot": 100,
            "replay": 100_000,
        }
