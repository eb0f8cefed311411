"""A consumer's process among services that come and go."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.tests.services.commands import Command, Start
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.kafka import MockKafka
from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.redis import RedisServer
from hyperwatch.tests.services.waiting import free_port, wait_until
from realtime.tests.builders import transaction
from realtime.tests.ingesting import health, send
from realtime.tests.sockets import metric

pytestmark = pytest.mark.slow


def send_transactions(tids: range) -> None:
    # Of a wallet each, so that they spread over the partitions.
    made = [transaction(raw_data={"tid": tid})._replace(key=str(tid).encode()) for tid in tids]
    send(made)


def stored_tids(database: Database) -> list[int]:
    return [tid for (tid,) in database.query("SELECT (raw_data->>'tid')::int FROM transactions ORDER BY 1")]


def wait_for_tids(database: Database, count: int) -> None:
    wait_until(lambda: len(stored_tids(database)) >= count, f"{count} transactions", 30)
    assert stored_tids(database) == list(range(count))


def assert_ends_cleanly(consumer: Command) -> None:
    consumer.signal(signal.SIGTERM)
    assert consumer.wait(10) == 0, consumer.output()[-2000:]


def test_a_consumer_waits_for_kafka_takes_up_when_it_comes_tells_how_it_stands_and_ends_cleanly(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    mock_kafka.go_away()
    consumer = consumer_process(**mock_kafka.env)
    assert health(consumer) == {"status": "waiting for Kafka", "assigned": [], "lag": 0, "last_commit": None}
    wait_until(lambda: "Kafka is away" in consumer.output(), "the warning", 10)
    mock_kafka.come_back()
    send_transactions(range(100))
    wait_for_tids(fresh_database, 100)
    wait_until(lambda: len(health(consumer)["assigned"]) == 15, "every partition", 10)
    told = health(consumer)
    assert (told["status"], told["lag"]) == ("healthy", 0)
    assert told["last_commit"].endswith("Z")
    assert metric(consumer, 'hyperwatch_stored_total{stream="transactions"}') == 100
    assert_ends_cleanly(consumer)


def test_a_consumer_that_waits_for_kafka_ends_cleanly(fresh_database: Database, consumer_process: Start) -> None:
    consumer = consumer_process(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    wait_until(lambda: "Kafka is away" in consumer.output(), "the warning", 10)
    # In the middle of a look, not in the pause between two.
    time.sleep(0.5)
    assert_ends_cleanly(consumer)


def test_what_no_policy_covers_ends_the_process_and_the_next_one_stores_what_it_left(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    fresh_database.query("ALTER TABLE newest_of_coin RENAME TO elsewhere")
    consumer = consumer_process(**mock_kafka.env)
    consumer.may_complain = True
    send_transactions(range(20))
    assert consumer.wait(20) == 1
    assert "newest_of_coin" in consumer.output()
    assert stored_tids(fresh_database) == []
    fresh_database.query("ALTER TABLE elsewhere RENAME TO newest_of_coin")
    consumer_process(**mock_kafka.env)
    wait_for_tids(fresh_database, 20)


def test_without_redis_storing_goes_on_and_with_it_telling_begins(
    mock_kafka: MockKafka, redis_server: RedisServer, fresh_database: Database, consumer_process: Start
) -> None:
    redis_server.stop()
    consumer = consumer_process(**mock_kafka.env, **redis_server.env)
    send_transactions(range(50))
    wait_for_tids(fresh_database, 50)
    wait_until(lambda: metric(consumer, "hyperwatch_untold_total") == 50, "the count of what was not told")
    wait_until(lambda: health(consumer)["last_commit"], "a commit all the same")
    redis_server.start()

    tids = itertools.count(50)

    def telling() -> int:
        tid = next(tids)
        send_transactions(range(tid, tid + 1))
        return metric(consumer, "hyperwatch_published_total")

    wait_until(telling, "something to be told", 20, pause=0.2)


class OwnPostgres(NamedTuple):
    """A server that may be stopped: all other tests share one."""

    server: EmbeddedPostgres
    database: Database


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder)
    yield OwnPostgres(server, Database(server.start()))
    server.remove()
    shutil.rmtree(folder)


def init_db(database: Database, *args: str, **env: str) -> list[str]:
    """What `manage.py init_db` says."""
    command = [sys.executable, "manage.py", "init_db", *args]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **database.env, **env}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_init_db_says_what_it_did_and_consumers_outlive_the_database_that_it_made(
    own_postgres: OwnPostgres, mock_kafka: MockKafka, consumer_process: Start
) -> None:
    server, database = own_postgres
    check_init_db(database, mock_kafka)
    consumer = consumer_process(**mock_kafka.env, **database.env)
    send_transactions(range(50))
    wait_for_tids(database, 50)

    committed = break_down(server, consumer, range(50, 100))
    server.start()
    wait_for_tids(database, 100)
    wait_until(lambda: health(consumer)["last_commit"] > committed, "the commit")

    break_down(server, consumer, range(100, 150))
    consumer.kill()
    server.start()
    assert stored_tids(database) == list(range(100))
    consumer = consumer_process(**mock_kafka.env, **database.env)
    wait_for_tids(database, 150)

    break_down(server, consumer, range(150, 160))
    assert_ends_cleanly(consumer)
    server.start()
    consumer_process(**mock_kafka.env, **database.env)
    wait_for_tids(database, 160)
    assert database.query("SELECT id FROM transactions ORDER BY id") == [(seq,) for seq in range(1, 161)]


def break_down(server: EmbeddedPostgres, consumer: Command, tids: range) -> str:
    """Stops the database and sends what cannot be stored then; returns when offsets were last committed."""
    wait_until(lambda: health(consumer)["last_commit"], "a commit")
    time.sleep(0.3)  # the commit of what the caller saw in the table
    committed = health(consumer)["last_commit"]
    server.stop()
    waits = metric(consumer, "hyperwatch_database_waits_total")
    send_transactions(tids)
    wait_until(lambda: metric(consumer, "hyperwatch_database_waits_total") >= waits + 3, "it to try again")
    assert consumer.running
    assert health(consumer)["last_commit"] == committed
    return str(committed)


def check_init_db(database: Database, mock_kafka: MockKafka) -> None:
    """Runs it three times: on nothing, again, and for another epoch."""
    first = init_db(database, ADMIN_USERNAME="root", ADMIN_PASSWORD="long enough", **mock_kafka.env)
    assert [line.split(":")[0] for line in first] == ["schema", "epoch", "topics", "admin"]
    assert first[0].startswith("schema: applied ")
    assert "transactions" in first[0]
    assert first[2].startswith("topics: there already (")
    assert first[3] == "admin: made 'root'"
    before = everything(database)
    second = init_db(database, ADMIN_USERNAME="root", ADMIN_PASSWORD="another one", KAFKA_BOOTSTRAP_SERVERS="")
    assert second[:2] == ["schema: up to date", first[1]]
    assert second[2].startswith("topics: left out, Kafka is away (no Kafka: set KAFKA_BOOTSTRAP_SERVERS")
    assert second[3] == "admin: 'root' is there already, left as it is"
    assert everything(database) == before
    third = init_db(database, "--new-epoch")
    assert third[1].endswith(" (new)")
    assert third[1].removesuffix(" (new)") != first[1]


def everything(database: Database) -> list[list[tuple[object, ...]]]:
    """The columns there are, and the rows that init_db makes."""
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    rows = ["SELECT * FROM epoch", "SELECT * FROM auth_user", "SELECT * FROM streams ORDER BY name"]
    return [database.query(query) for query in (f"{columns} ORDER BY 1, 2", *rows)]
