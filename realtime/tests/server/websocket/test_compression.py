"""permessage-deflate, where it is switched on: the same frames in fewer bytes, beside clients that want none."""

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import Client, client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

COUNT = 300
MAX_MESSAGE_BYTES = 4096


@pytest.fixture(scope="module")
def web(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    with commands.running("serve", tmp_path_factory.mktemp("web"), DATABASE_URL=test_database_url) as start:
        yield start(
            STREAM_SYNC_INTERVAL_SECONDS="0.1",
            WEBSOCKET_COMPRESSION="true",
            WEBSOCKET_MAX_MESSAGE_BYTES=str(MAX_MESSAGE_BYTES),
        )


def liquidate(low: int, high: int) -> None:
    stored(*(builders.liquidation(raw_data={"tid": tid}, tx_hash=f"0x{tid:064x}") for tid in range(low, high)))


def is_compressed(ws: Client) -> bool:
    return bool(ws.socket.protocol.extensions)


@pytest.mark.parametrize("is_batch", [False, True])
def test_compressing_client_gets_same_frames_in_fewer_bytes(web: AppProcess, is_batch: bool) -> None:
    liquidate(0, COUNT)
    sizes = {}
    texts = {}
    for compression in ("deflate", None):
        with client(web.ws_url, compression=compression) as ws:
            assert is_compressed(ws) == (compression is not None)
            before = metric(web, "hyperwatch_websocket_sent_bytes_total")
            ws.subscribe("liquidations", since=0, batch=is_batch)
            texts[compression] = received(ws)
            sizes[compression] = metric(web, "hyperwatch_websocket_sent_bytes_total") - before
            assert ws.ask(type="ping")["type"] == "pong"
    assert texts["deflate"] == texts[None]
    # Half and more of a single frame is one hash after the other; many frames say the same again and again.
    assert sizes["deflate"] < (0.35 if is_batch else 0.75) * sizes[None]


def received(ws: Client) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = []
    while len(facts) < COUNT:
        frame = ws.receive()
        facts += frame["data"] if frame["type"] == "batch" else [frame]
    return facts


def test_live_frames_are_compressed_only_where_negotiated(web: AppProcess) -> None:
    with client(web.ws_url) as small, client(web.ws_url, compression=None) as plain:
        small.subscribe("liquidations")
        plain.subscribe("liquidations")
        liquidate(0, 5)
        assert small.wait_for(5) == plain.wait_for(5)
        assert small.raw == plain.raw


def test_smaller_window_is_served_uncompressed(web: AppProcess) -> None:
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=9)
    with client(web.ws_url, compression=None, extensions=[offer]) as ws:
        assert not is_compressed(ws)
        assert ws.ask(type="ping")["type"] == "pong"


def test_small_frame_inflating_beyond_limit_is_rejected(web: AppProcess) -> None:
    with client(web.ws_url) as bomb, client(web.ws_url) as good:
        bomb.socket.send(" " * 1_000_000)
        with pytest.raises(Exception, match="1009"):
            bomb.answer()
        assert good.ask(type="ping")["type"] == "pong"


def test_compression_is_off_unless_it_is_switched_on(server: AppProcess) -> None:
    with client(server.ws_url) as ws:
        assert not is_compressed(ws)
