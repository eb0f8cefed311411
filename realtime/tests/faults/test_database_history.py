"""A database that went back in time: a restored backup, or a failover to an older replica.

The backup is a copy of the database, which takes its name and place.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import KafkaBroker, MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.builders import liquidation
from realtime.tests.faults.test_fault_kafka import forget_all
from realtime.tests.ingest_helpers import send
from realtime.tests.websocket_client import client, metric

TIDS = "SELECT (raw_data->>'tid')::int FROM liquidations ORDER BY id"


def send_tids(low: int, high: int) -> None:
    """One wallet, so one partition, in order."""
    send(liquidation(raw_data={"tid": tid}) for tid in range(low, high + 1))


def wait_for_rows(database: Database, count: int) -> None:
    wait_until(lambda: database.value("SELECT count(*) FROM liquidations") == count, f"{count} rows", 30)


def epoch(database: Database) -> str:
    return str(database.value("SELECT value FROM epoch"))


def end_sessions(database: Database) -> None:
    database.sibling("postgres").query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", database.name
    )


@contextmanager
def no_sessions(database: Database) -> Iterator[Database]:
    """The server of the database, while it accepts no connection."""
    server = database.sibling("postgres")
    server.query(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
    end_sessions(database)
    try:
        yield server
    finally:
        server.query(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')


def back_up(database: Database) -> Database:
    with no_sessions(database):
        return database.copy()


def restore(database: Database, backup: Database) -> None:
    with no_sessions(database) as server:
        server.query(f'ALTER DATABASE "{database.name}" RENAME TO "{database.name}_lost"')
        server.query(f'ALTER DATABASE "{backup.name}" RENAME TO "{database.name}"')
        # For the end of `no_sessions`.
        server.query(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
    database.sibling(f"{database.name}_lost").drop()


def stored_ten(database: Database, kafka: MockKafka | KafkaBroker, consumer_process: Start) -> Database:
    """Stores 10 facts and ends the consumer; returns the backup of the first 5."""
    consumer = consumer_process(**kafka.env)
    send_tids(1, 5)
    wait_for_rows(database, 5)
    backup = back_up(database)
    send_tids(6, 10)
    wait_for_rows(database, 10)
    consumer.stop()
    return backup


def test_restored_database_reads_again_what_it_lacks(
    fresh_database: Database, mock_kafka: MockKafka, consumer_process: Start
) -> None:
    backup, old_epoch = stored_ten(fresh_database, mock_kafka, consumer_process), epoch(fresh_database)
    restore(fresh_database, backup)
    wait_for_rows(fresh_database, 5)
    second = consumer_process(**mock_kafka.env)
    send_tids(11, 12)
    wait_for_rows(fresh_database, 12)
    assert fresh_database.query(TIDS) == [(tid,) for tid in range(1, 13)]
    assert fresh_database.value("SELECT sum(next_offset) FROM consumer_offsets") == 12
    assert epoch(fresh_database) != old_epoch
    assert "went back in time" in second.output()
    assert metric(second, "hyperwatch_kafka_lost_messages_total") == 0


def test_restart_without_restore_keeps_the_epoch(
    fresh_database: Database, mock_kafka: MockKafka, consumer_process: Start
) -> None:
    before = epoch(fresh_database)
    for low in (1, 6):
        consumer = consumer_process(**mock_kafka.env)
        send_tids(low, low + 4)
        wait_for_rows(fresh_database, low + 4)
        consumer.stop()
    assert epoch(fresh_database) == before


def test_failover_under_running_processes_repeats_and_loses_nothing(
    fresh_database: Database,
    mock_kafka: MockKafka,
    redis_server: RedisServer,
    consumer_process: Start,
    web_server: Start,
) -> None:
    consumer = consumer_process(**mock_kafka.env, **redis_server.env)
    web = web_server(**redis_server.env, STREAM_SYNC_INTERVAL_SECONDS="0.1")
    send_tids(1, 5)
    wait_for_rows(fresh_database, 5)
    backup = back_up(fresh_database)
    send_tids(6, 10)
    wait_for_rows(fresh_database, 10)
    old = rest_at(web, 10)
    with client(f"{web.ws_url}?hello=1") as ws:
        assert ws.answer()["epoch"] == old["epoch"]
        ws.subscribe("liquidations")
        restore(fresh_database, backup)
        send_tids(11, 12)
        wait_for_rows(fresh_database, 12)
        with pytest.raises(Exception, match="1001"):
            ws.wait_for(20)
    assert fresh_database.query(TIDS) == [(tid,) for tid in range(1, 13)]
    with client(web.ws_url) as ws:
        ws.subscribe("liquidations", since=10, epoch=old["epoch"])
        gap = ws.answer()
        assert (gap["type"], gap["missing_from"], gap["missing_to"]) == ("gap", 1, 12)
    new = rest_at(web, 12)
    assert new["epoch"] != old["epoch"]
    assert len(new["liquidations"]) == 12
    assert consumer.is_running


def test_hub_alone_notices_an_older_database(
    fresh_database: Database, mock_kafka: MockKafka, consumer_process: Start, web_server: Start
) -> None:
    backup = stored_ten(fresh_database, mock_kafka, consumer_process)
    before = epoch(fresh_database)
    with client(web_server(STREAM_SYNC_INTERVAL_SECONDS="0.1").ws_url) as ws:
        assert ws.ask(type="hello")["channels"]["liquidations"]["head"] == 10
        restore(fresh_database, backup)
        with pytest.raises(Exception, match="1001"):
            ws.wait_for(1)
    assert epoch(fresh_database) != before


def test_cache_alone_notices_an_older_database(
    fresh_database: Database, mock_kafka: MockKafka, consumer_process: Start, web_server: Start
) -> None:
    backup = stored_ten(fresh_database, mock_kafka, consumer_process)
    web = web_server()
    before = [rest_at(web, 10) for _ in range(3)][-1]
    assert metric(web, 'hyperwatch_response_cache_requests_total{result="hit"}') > 0
    restore(fresh_database, backup)
    after = rest_at(web, 5)
    assert len(after["liquidations"]) == 5
    assert after["epoch"] != before["epoch"]


def rest_at(web: AppProcess, head: int) -> dict[str, Any]:
    """The response once it has that head."""
    return wait_until(lambda: data if (data := rest(web)).get("head") == head else None, f"head {head}") or {}


def rest(web: AppProcess) -> dict[str, Any]:
    """The data of the response; empty while the database is unavailable."""
    try:
        with urllib.request.urlopen(f"{web.url}/api/v1/liquidations/recent", timeout=5) as answer:  # noqa: S310 (ours)
            data: dict[str, Any] = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return {}
    return data


@pytest.mark.kafka
def test_messages_that_kafka_removed_count_as_lost(
    fresh_database: Database, apache_kafka: KafkaBroker, consumer_process: Start
) -> None:
    backup = stored_ten(fresh_database, apache_kafka, consumer_process)
    restore(fresh_database, backup)
    forget_all()
    second = consumer_process(**apache_kafka.env)
    send_tids(11, 12)
    wait_for_rows(fresh_database, 7)
    assert fresh_database.query(TIDS) == [(tid,) for tid in (1, 2, 3, 4, 5, 11, 12)]
    wait_until(lambda: metric(second, "hyperwatch_kafka_lost_messages_total") == 5, "the loss to be counted")
    assert fresh_database.value("SELECT sum(last - first + 1) FROM lost_messages") == 5


def test_topic_created_again_is_read_from_its_beginning(
    fresh_database: Database, mock_kafka: MockKafka, consumer_process: Start
) -> None:
    before = epoch(fresh_database)
    fresh_database.query(
        "INSERT INTO consumer_offsets SELECT %s, n, 1000 FROM generate_series(0, 4) n", "hyperliquid.computed_data"
    )
    send_tids(1, 3)
    consumer = consumer_process(**mock_kafka.env)
    wait_for_rows(fresh_database, 3)
    assert metric(consumer, "hyperwatch_kafka_topic_restarts_total") == 5
    assert epoch(fresh_database) == before
