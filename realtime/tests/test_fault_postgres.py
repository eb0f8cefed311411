"""PostgreSQL away, slow, full and contrary: what is not stored does not count as read, and all goes on by itself."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.house import House, a_kafka, waits

pytestmark = pytest.mark.slow

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > %s::interval"
OF_THE_BLOCKED = "FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


class Place(NamedTuple):
    """A server that may be stopped (all other tests share one), and all parts on it; the last consumer runs."""

    server: EmbeddedPostgres
    house: House
    consumers: list[AppProcess]


@pytest.fixture(scope="module")
def place(tmp_path_factory: Folders) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder)
    database = Database(server.start())
    database.migrate()
    with a_kafka(folder / "kafka") as kafka, House(database, kafka.env, tmp_path_factory.mktemp("house")) as house:
        yield Place(server, house, [house.working()])
    server.remove()
    shutil.rmtree(folder)


@pytest.fixture
def house(place: Place) -> House:
    """Before each test all is well: something was stored, and counts as read."""
    place.house.send(20)
    place.house.check()
    place.house.check_counts_as_read()
    return place.house


@pytest.fixture
def consumer(place: Place) -> AppProcess:
    return place.consumers[-1]


def check_away(house: House, consumer: AppProcess) -> None:
    """The API says so, readiness says so, the socket stays, the consumer tries again, and no offset moves on."""
    before = waits(consumer)
    house.send(10)
    wait_until(lambda: waits(consumer) >= before + 3, "the consumer to try again and again")
    house.check_reads(503)
    assert house.ready("database") == (503, "down", "down")
    house.check_socket()
    assert house.committed() == house.sent - 10


def check_back(house: House, consumer: AppProcess) -> None:
    """By itself: nobody was started anew."""
    house.check()
    house.check_counts_as_read()
    house.check_reads()
    assert house.ready("database") == (200, "ok", "ok")
    assert consumer.is_running
    house.check_silent()


def test_while_postgresql_is_stopped_nothing_counts_as_read_and_all_goes_on_once_it_is_back(
    place: Place, house: House, consumer: AppProcess
) -> None:
    place.server.stop()
    try:
        check_away(house, consumer)
    finally:
        place.server.start()
    check_back(house, consumer)


def test_out_of_connections_is_waited_for_as_well(house: House, consumer: AppProcess) -> None:
    with house.out_of_connections():
        check_away(house, consumer)
        assert "too many connections" in consumer.output()
    check_back(house, consumer)


def test_a_consumer_that_waits_for_the_database_ends_in_order_and_the_next_one_stores_its_batch(
    place: Place, house: House, consumer: AppProcess
) -> None:
    with house.out_of_connections():
        check_away(house, consumer)
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0
        assert house.committed() == house.sent - 10
    place.consumers.append(house.working())
    check_back(house, place.consumers[-1])


@contextmanager
def held(house: House) -> Iterator[Any]:
    """Another session holds the stream's row, as a slow one would; what is sent meanwhile waits in the store."""
    with closing(psycopg2.connect(house.database.url)) as other, other, other.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '60s'")
        cursor.execute("SELECT 1 FROM streams WHERE name = 'transactions' FOR UPDATE")
        yield cursor


def waiting(house: House, seconds: float = 0) -> bool:
    """Whether the store has waited for a lock for so long."""
    return bool(house.database.value(BLOCKED, f"{seconds} s"))


def test_a_database_that_is_slow_for_longer_than_a_session_costs_nobody_the_membership(
    house: House, consumer: AppProcess
) -> None:
    before = waits(consumer)
    with held(house):
        house.send(10)
        wait_until(lambda: waiting(house, 1.2), "the store to wait for longer than a session")
        house.check_reads()
        assert house.ready("database") == (200, "ok", "ok")
        assert house.committed() == house.sent - 10
    check_back(house, consumer)
    assert waits(consumer) == before
    assert "offsets not committed" not in consumer.output()


def test_tables_that_are_locked_hold_up_no_request_for_long_and_no_thread_for_ever(
    house: House, consumer: AppProcess
) -> None:
    """By a migration, say. More requests come than there are threads: the last one is to be answered, too."""
    with closing(psycopg2.connect(house.database.url)) as other, other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE transactions, newest_of_coin IN ACCESS EXCLUSIVE MODE")
        house.send(10)
        wait_until(lambda: waiting(house), "the store to wait")
        with ThreadPoolExecutor(20) as crowd:
            answers = [told for told, _ in crowd.map(house.get, ["/api/v1/transactions?page_size=1"] * 20)]
        assert answers == [503] * 20
        house.check_reads(503)
        assert house.ready("database") == (503, "down", "down")
        house.check_socket()
        assert house.committed() == house.sent - 10
    check_back(house, consumer)


def test_a_statement_that_is_cancelled_and_a_connection_that_is_cut_off_under_it_are_tried_again(
    house: House, consumer: AppProcess
) -> None:
    before = waits(consumer)
    with held(house):
        house.send(1)
        strike(house, consumer, "pg_cancel_backend")
        strike(house, consumer, "pg_terminate_backend")
    check_back(house, consumer)
    assert waits(consumer) == before + 2


def strike(house: House, consumer: AppProcess, fault: str) -> None:
    before = waits(consumer)
    wait_until(lambda: waiting(house), "the store to wait")
    house.database.query(f"SELECT {fault}(pid) {OF_THE_BLOCKED}")
    wait_until(lambda: waits(consumer) == before + 1, "the consumer to notice")


def test_the_loser_of_a_deadlock_tries_again(house: House, consumer: AppProcess) -> None:
    """The store locks the liquidations and waits for the transactions; the other asks the other way round."""
    with house.sessions_with("deadlock_timeout = '2s'"):
        before = waits_of_new_session(house, consumer)
        with held(house) as cursor:
            house.send(1, tx_type="LIQUIDATION")
            wait_until(lambda: waiting(house), "the store to wait")
            cursor.execute("SELECT 1 FROM streams WHERE name = 'liquidations' FOR UPDATE")
            wait_until(lambda: waits(consumer) == before + 1, "the store to lose")
        check_back(house, consumer)
        assert waits(consumer) == before + 1
    assert "deadlock detected" in consumer.output()
    assert house.database.query("SELECT id FROM liquidations") == [(1,)]


def test_a_serialization_failure_is_tried_again(house: House, consumer: AppProcess) -> None:
    with house.sessions_with("default_transaction_isolation = 'repeatable read'"):
        before = waits_of_new_session(house, consumer)
        with held(house) as cursor:
            house.send(1)
            wait_until(lambda: waiting(house), "the store to wait")
            cursor.execute("UPDATE streams SET floor = floor WHERE name = 'transactions'")
        check_back(house, consumer)
        assert waits(consumer) == before + 1
    assert "could not serialize access" in consumer.output()


def waits_of_new_session(house: House, consumer: AppProcess) -> int:
    """How often the consumer has waited, once it has stored something on another connection."""
    house.send(1)
    house.check()
    return waits(consumer)
