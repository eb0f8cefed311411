"""The hub believes the channel layer in nothing: what it loses, a client gets from the database, in its place."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from psycopg2 import Error
from rest_framework_api_key.models import APIKey
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.models import Epoch
from realtime.storage.records import StoredRows
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import Client, client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

Publish = Callable[[list[StoredRows]], None]
Serve = Callable[..., AppProcess]


@pytest.fixture
def serve(test_database_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[Serve]:
    env = {"DATABASE_URL": test_database_url, "REDIS_URL": redis_server.url}
    with commands.running("serve", tmp_path, **env) as start:
        yield start


def one(tid: int) -> list[StoredRows]:
    return stored(builders.liquidation(raw_data={"tid": tid}))


def check_live(ws: Client, publish: Publish, tid: int) -> None:
    """The event comes over Redis: within half of the ten seconds between two polls of the heads."""
    known = len(ws.facts)
    publish(one(tid))
    ws.wait_for(known + 1, timeout=5)


def test_published_event_arrives_without_head_poll(serve: Serve, publish: Publish) -> None:
    with client(serve(STREAM_SYNC_INTERVAL_SECONDS="10").ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        assert ws.seqs("liquidations") == [1]


def test_lost_message_is_backfilled_before_the_next(serve: Serve, publish: Publish) -> None:
    with client(serve(STREAM_SYNC_INTERVAL_SECONDS="10").ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        one(2)
        one(3)
        publish(one(4))
        ws.wait_for(4, timeout=5)
        assert ws.seqs("liquidations") == [1, 2, 3, 4]


def test_messages_out_of_order_are_put_in_order(serve: Serve, publish: Publish) -> None:
    with client(serve(STREAM_SYNC_INTERVAL_SECONDS="10").ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        second, third = one(2), one(3)
        publish(third)
        publish(second)
        ws.wait_for(3, timeout=5)
        assert ws.seqs("liquidations") == [1, 2, 3]
        assert ws.silent_for(0.5)


def test_message_of_another_epoch_is_discarded(serve: Serve, publish: Publish) -> None:
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="10")
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        second = one(2)
        publish([rows._replace(epoch="another installation's") for rows in second])
        assert ws.silent_for(0.5)
        assert metric(web, "hyperwatch_hub_discarded_messages_total") == 1
        publish(second)
        ws.wait_for(2, timeout=5)


def test_undecodable_message_leaves_the_hub_subscribed(
    serve: Serve, publish: Publish, redis_server: RedisServer
) -> None:
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="10")
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        redis = redis_server.client()
        (channel,) = [name for name in redis.pubsub_channels() if b"stream.liquidations" in name]
        redis.publish(channel, b"\xc1 no msgpack")
        redis.publish(channel, msgspec.msgpack.encode([1, 2]))
        redis.publish(channel, msgspec.msgpack.encode({"type": "stream.events", "stream": "liquidations"}))
        epoch = Epoch.objects.get().value
        message = {"type": "stream.events", "stream": "liquidations", "epoch": epoch, "events": b"\xc1", "sent_ms": 0}
        redis.publish(channel, msgspec.msgpack.encode(message))
        check_live(ws, publish, 2)
        assert ws.seqs("liquidations") == [1, 2]
        assert metric(web, "hyperwatch_hub_discarded_messages_total") == 4


def test_unsubscribed_hub_backfills_and_resubscribes(serve: Serve, publish: Publish, redis_server: RedisServer) -> None:
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="0.5")
    web.allows_traceback = True  # The layer logs a traceback of its own when its connection breaks.
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        redis_server.restart()
        for tid in range(2, 12):
            one(tid)
        ws.wait_for(11)
        wait_until(lambda: hears(ws, publish), "the hub to hear again", 15)
        assert ws.seqs("liquidations") == list(range(1, len(ws.facts) + 1))


def test_frozen_redis_clients_are_served_from_database(
    serve: Serve, publish: Publish, redis_server: RedisServer
) -> None:
    with client(serve(STREAM_SYNC_INTERVAL_SECONDS="0.5").ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        redis_server.pause()
        for tid in range(2, 12):
            one(tid)
        ws.wait_for(11)
        redis_server.resume()
        wait_until(lambda: hears(ws, publish), "the hub to hear again", 15)
        assert ws.seqs("liquidations") == list(range(1, len(ws.facts) + 1))


def test_disconnected_redis_hub_receives_every_event(serve: Serve, publish: Publish, redis_server: RedisServer) -> None:
    """As Redis does with a subscriber that has 32 MB of backlog."""
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="0.5")
    web.allows_traceback = True  # The layer logs a traceback of its own when its connection breaks.
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        check_live(ws, publish, 1)
        assert redis_server.client().client_kill_filter(_type="pubsub") == 1
        publish(one(2))
        ws.wait_for(2)
        wait_until(lambda: hears(ws, publish), "the hub to hear again", 15)
        assert ws.seqs("liquidations") == list(range(1, len(ws.facts) + 1))


def hears(ws: Client, publish: Publish) -> bool:
    """Whether a fact arrives sooner than the heads would tell of it."""
    count = len(ws.facts)
    publish(one(100 + count))
    try:
        ws.wait_for(count + 1, timeout=0.2)
    except TimeoutError:
        ws.wait_for(count + 1)
        return False
    return True


def test_hub_started_without_redis_serves_from_database(serve: Serve, redis_server: RedisServer) -> None:
    redis_server.stop()
    with client(serve(STREAM_SYNC_INTERVAL_SECONDS="0.5").ws_url) as ws:
        ws.subscribe("liquidations")
        for tid in range(3):
            one(tid)
        ws.wait_for(3)
        assert ws.seqs("liquidations") == [1, 2, 3]


def test_hub_without_database_reports_and_recovers(fresh_database: Database, web_server: Serve) -> None:
    server = fresh_database.sibling("postgres")
    web = web_server()
    server.query(f'ALTER DATABASE "{fresh_database.name}" RENAME TO "{fresh_database.name}_away"')
    try:
        with client(web.ws_url) as ws:
            answer = ws.ask(type="subscribe", channels=["liquidations"])
            assert (answer["type"], answer["code"]) == ("error", "INTERNAL_ERROR")
            server.query(f'ALTER DATABASE "{fresh_database.name}_away" RENAME TO "{fresh_database.name}"')
            ws.subscribe("liquidations")
        assert metric(web, "hyperwatch_websocket_connections") == 0
    finally:
        with suppress(Error):
            server.query(f'ALTER DATABASE "{fresh_database.name}_away" RENAME TO "{fresh_database.name}"')


def test_two_resumes_at_once_lose_nothing(serve: Serve, publish: Publish) -> None:
    """While the first channel is read, room comes back: the second must not be taken for one that began."""
    for tid in range(1, 4):
        stored(builders.liquidation(raw_data={"tid": tid}), builders.transaction(raw_data={"tid": tid}))
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="0.2")
    for _ in range(5):
        with client(web.ws_url) as ws:
            ws.subscribe("transactions", "liquidations", since={"transactions": 0, "liquidations": 0})
            ws.wait_for(6)
            assert (ws.seqs("transactions"), ws.seqs("liquidations")) == ([1, 2, 3], [1, 2, 3])


def test_failed_head_poll_is_not_the_last(serve: Serve) -> None:
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="0.1")
    web.allows_traceback = True
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        epoch = Epoch.objects.get()
        Epoch.objects.all().delete()
        wait_until(lambda: "polling the heads failed" in web.output(), "the failure")
        epoch.save(force_insert=True)
        one(1)
        ws.wait_for(1, timeout=5)


def test_websocket_needs_token_where_reads_need_key(serve: Serve) -> None:
    _, key = APIKey.objects.create_key(name="a bot's")
    web = serve(ALLOW_ANONYMOUS_READS="false")
    for query in ("", "?token=wrong", "?token=%00"):
        with client(f"{web.ws_url}{query}") as ws, pytest.raises(ConnectionClosed) as closed:
            ws.answer()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
    with client(f"{web.ws_url}?token={key}") as ws:
        assert ws.ask(type="ping")["type"] == "pong"


def test_the_metrics_tell_of_the_stream(serve: Serve, publish: Publish) -> None:
    web = serve(STREAM_SYNC_INTERVAL_SECONDS="10")
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations")
        publish([new._replace(sent_ms=int(time.time() * 1000)) for new in one(1)])
        ws.wait_for(1, timeout=5)
        one(2)
        publish(one(3))
        ws.wait_for(3, timeout=5)
        names = (
            "websocket_subscriptions",
            "hub_events_total",
            "hub_delivery_latency_seconds_count",
            "hub_history_bytes",
        )
        of_stream = {name: metric(web, f'hyperwatch_{name}{{stream="liquidations"') for name in names}
        assert of_stream == {
            "websocket_subscriptions": 1,
            "hub_events_total": 3,
            "hub_delivery_latency_seconds_count": 1,
            "hub_history_bytes": sum(map(len, ws.raw)),
        }
        # The gap, and the events behind it, which had arrived already.
        assert metric(web, "hyperwatch_hub_backfilled_events_total{") == 2
        assert metric(web, "hyperwatch_websocket_sent_frames_total") == 1 + 3
    wait_until(lambda: metric(web, "hyperwatch_websocket_subscriptions") == 0, "the subscription's end")
