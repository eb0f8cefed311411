"""A consumer's process among services that come and go."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import health, send
from realtime.tests.websocket_client import metric


def send_transactions(tids: range) -> None:
    # Of a wallet each, so that they spread over the partitions.
    made = [transaction(raw_data={"tid": tid})._replace(key=str(tid).encode()) for tid in tids]
    send(made)


def stored_tids(database: Database) -> list[int]:
    return [tid for (tid,) in database.query("SELECT (raw_data->>'tid')::int FROM transactions ORDER BY 1")]


def wait_for_tids(database: Database, count: int) -> None:
    wait_until(lambda: len(stored_tids(database)) >= count, f"{count} transactions", 30)
    assert stored_tids(database) == list(range(count))


def assert_ends_cleanly(consumer: AppProcess) -> None:
    consumer.signal(signal.SIGTERM)
    assert consumer.wait(10) == 0, consumer.output()[-2000:]


def test_consumer_waits_for_kafka_reports_state_and_stops(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    mock_kafka.disconnect()
    consumer = consumer_process(**mock_kafka.env)
    assert health(consumer) == {"status": "waiting for Kafka", "assigned": [], "lag": 0, "last_commit": None}
    wait_until(lambda: "Kafka is unavailable" in consumer.output(), "the warning", 10)
    mock_kafka.reconnect()
    send_transactions(range(100))
    wait_for_tids(fresh_database, 100)
    wait_until(lambda: len(health(consumer)["assigned"]) == 15, "every partition", 10)
    wait_until(lambda: health(consumer)["lag"] == 0, "everything to be read", 10)
    answer = health(consumer)
    assert answer["status"] == "healthy"
    assert answer["last_commit"].endswith("Z")
    assert metric(consumer, 'hyperwatch_ingest_rows_stored_total{stream="transactions"}') == 100
    assert_ends_cleanly(consumer)


def test_a_consumer_that_waits_for_kafka_ends_cleanly(fresh_database: Database, consumer_process: Start) -> None:
    consumer = consumer_process(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    wait_until(lambda: "Kafka is unavailable" in consumer.output(), "the warning", 10)
    # In the middle of a look, not in the pause between two.
    time.sleep(0.5)
    assert_ends_cleanly(consumer)


def test_aborted_status_request_is_no_error(fresh_database: Database, consumer_process: Start) -> None:
    consumer = consumer_process(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", consumer.port)) as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            asking.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert health(consumer)["status"] == "waiting for Kafka"
    assert "Traceback" not in consumer.output()


def test_unexpected_error_ends_process_and_next_stores_batch(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    fresh_database.query("ALTER TABLE newest_of_coin RENAME TO elsewhere")
    consumer = consumer_process(**mock_kafka.env)
    consumer.allows_traceback = True
    send_transactions(range(20))
    assert consumer.wait(20) == 1
    assert "newest_of_coin" in consumer.output()
    assert stored_tids(fresh_database) == []
    fresh_database.query("ALTER TABLE elsewhere RENAME TO newest_of_coin")
    consumer_process(**mock_kafka.env)
    wait_for_tids(fresh_database, 20)


def test_stuck_consumer_exits_with_stack_and_next_continues(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    stands = consumer_process(INGEST_HANG_AT="decoded:2", CONSUMER_WATCHDOG_SECONDS="3", **mock_kafka.env)
    # One message is one batch.
    send_transactions(range(1))
    wait_for_tids(fresh_database, 1)
    send_transactions(range(1, 20))
    assert stands.wait(20) == 1
    assert "in _decode" in stands.output()
    consumer_process(**mock_kafka.env)
    wait_for_tids(fresh_database, 20)


def test_database_wait_does_not_trigger_watchdog(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    consumer = consumer_process(CONSUMER_WATCHDOG_SECONDS="2", **mock_kafka.env)
    with closing(psycopg2.connect(fresh_database.url)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE streams")
        send_transactions(range(10))
        time.sleep(6)
        assert stored_tids(fresh_database) == []
    wait_for_tids(fresh_database, 10)
    assert consumer.is_running


def init_db(database: Database, *args: str, **env: str) -> list[str]:
    """What `manage.py init_db` says."""
    command = [sys.executable, "manage.py", "init_db", *args]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **database.env, **env}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def empty_database(fresh_database: Database) -> Iterator[Database]:
    database = fresh_database.sibling(f"empty_{fresh_database.name}")
    database.create()
    yield database
    database.drop()


def test_init_db_says_what_it_did(empty_database: Database, mock_kafka: MockKafka) -> None:
    """On nothing, again, and for another epoch."""
    first = init_db(empty_database, ADMIN_USERNAME="root", ADMIN_PASSWORD="long enough", **mock_kafka.env)
    assert [line.split(":")[0] for line in first] == ["schema", "epoch", "topics", "admin"]
    assert first[0].startswith("schema: applied ")
    assert "transactions" in first[0]
    assert first[2].startswith("topics: exist already (")
    assert first[3] == "admin: created 'root'"
    before = everything(empty_database)
    second = init_db(empty_database, ADMIN_USERNAME="root", ADMIN_PASSWORD="another one", KAFKA_BOOTSTRAP_SERVERS="")
    assert second[:2] == ["schema: up to date", first[1]]
    assert second[2].startswith("topics: skipped, Kafka is unavailable (no Kafka: set KAFKA_BOOTSTRAP_SERVERS")
    assert second[3] == "admin: 'root' exists already, unchanged"
    assert everything(empty_database) == before
    third = init_db(empty_database, "--new-epoch")
    assert third[1].endswith(" (new)")
    assert third[1].removesuffix(" (new)") != first[1]


def everything(database: Database) -> list[list[tuple[object, ...]]]:
    """The columns there are, and the rows that init_db makes."""
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    rows = ["SELECT * FROM epoch", "SELECT * FROM auth_user", "SELECT * FROM streams ORDER BY name"]
    return [database.query(query) for query in (f"{columns} ORDER BY 1, 2", *rows)]
