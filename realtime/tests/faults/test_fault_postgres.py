"""PostgreSQL stopped, slow, full and failing: no offset of an unstored message is committed."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.cluster import Cluster, waits
from realtime.tests.cluster_on_postgres import Place, check_away, check_back, cluster_on_own_postgres

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > %s::interval"
OF_THE_BLOCKED = "FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def place(tmp_path_factory: Folders) -> Iterator[Place]:
    with cluster_on_own_postgres(tmp_path_factory.mktemp("cluster")) as place:
        yield place


@pytest.fixture
def cluster(place: Place) -> Cluster:
    """Before each test all is well: something was stored, and counts as read."""
    place.cluster.send(20)
    place.cluster.check()
    place.cluster.check_counts_as_read()
    return place.cluster


@pytest.fixture
def consumer(place: Place) -> AppProcess:
    return place.consumers[-1]


def test_out_of_connections_is_waited_for_as_well(cluster: Cluster, consumer: AppProcess) -> None:
    with cluster.out_of_connections():
        check_away(cluster, consumer)
        assert "too many connections" in consumer.output()
    check_back(cluster, consumer)


def test_consumer_stopped_during_wait_leaves_batch_to_next(
    place: Place, cluster: Cluster, consumer: AppProcess
) -> None:
    with cluster.out_of_connections():
        check_away(cluster, consumer)
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0
        assert cluster.committed() == cluster.sent - 10
    place.consumers.append(cluster.working())
    check_back(cluster, place.consumers[-1])


@contextmanager
def held(cluster: Cluster) -> Iterator[Any]:
    """Another session holds the stream's row, as a slow one would; the store waits for it."""
    with closing(psycopg2.connect(cluster.database.url)) as other, other, other.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '60s'")
        cursor.execute("SELECT 1 FROM streams WHERE name = 'transactions' FOR UPDATE")
        yield cursor


def waiting(cluster: Cluster, seconds: float = 0) -> bool:
    """Whether the store has waited that long for a lock."""
    return bool(cluster.database.value(BLOCKED, f"{seconds} s"))


def test_slow_database_costs_no_group_membership(cluster: Cluster, consumer: AppProcess) -> None:
    before = waits(consumer)
    with held(cluster):
        cluster.send(10)
        wait_until(lambda: waiting(cluster, 1.2), "the store to wait for longer than a session")
        cluster.check_reads()
        assert cluster.ready("database") == (200, "ok", "ok")
        assert cluster.committed() == cluster.sent - 10
    check_back(cluster, consumer)
    assert waits(consumer) == before
    assert "offsets not committed" not in consumer.output()


def test_locked_tables_bound_requests_and_threads(cluster: Cluster, consumer: AppProcess) -> None:
    """As by a migration. More requests than threads: the last one is answered, too."""
    with closing(psycopg2.connect(cluster.database.url)) as other, other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE transactions, newest_of_coin IN ACCESS EXCLUSIVE MODE")
        cluster.send(10)
        wait_until(lambda: waiting(cluster), "the store to wait")
        with ThreadPoolExecutor(20) as crowd:
            answers = [answer for answer, _ in crowd.map(cluster.get, ["/api/v1/transactions?page_size=1"] * 20)]
        assert answers == [503] * 20
        cluster.check_reads(503)
        assert cluster.ready("database") == (503, "down", "down")
        cluster.check_socket()
        assert cluster.committed() == cluster.sent - 10
    check_back(cluster, consumer)


def test_cancelled_statement_and_lost_connection_are_retried(cluster: Cluster, consumer: AppProcess) -> None:
    before = waits(consumer)
    with held(cluster):
        cluster.send(1)
        strike(cluster, consumer, "pg_cancel_backend")
        strike(cluster, consumer, "pg_terminate_backend")
    check_back(cluster, consumer)
    assert waits(consumer) == before + 2


def strike(cluster: Cluster, consumer: AppProcess, fault: str) -> None:
    before = waits(consumer)
    wait_until(lambda: waiting(cluster), "the store to wait")
    cluster.database.query(f"SELECT {fault}(pid) {OF_THE_BLOCKED}")
    wait_until(lambda: waits(consumer) == before + 1, "the consumer to notice")


def test_the_loser_of_a_deadlock_tries_again(cluster: Cluster, consumer: AppProcess) -> None:
    """The store locks the liquidations and waits for the transactions; the other asks the other way round."""
    with cluster.sessions_with("deadlock_timeout = '2s'"):
        before = waits_of_new_session(cluster, consumer)
        with held(cluster) as cursor:
            cluster.send(1, tx_type="LIQUIDATION")
            wait_until(lambda: waiting(cluster), "the store to wait")
            cursor.execute("SELECT 1 FROM streams WHERE name = 'liquidations' FOR UPDATE")
            wait_until(lambda: waits(consumer) == before + 1, "the store to lose")
        check_back(cluster, consumer)
        assert waits(consumer) == before + 1
    assert "deadlock detected" in consumer.output()
    assert cluster.database.query("SELECT id FROM liquidations") == [(1,)]


def test_a_serialization_failure_is_tried_again(cluster: Cluster, consumer: AppProcess) -> None:
    with cluster.sessions_with("default_transaction_isolation = 'repeatable read'"):
        before = waits_of_new_session(cluster, consumer)
        with held(cluster) as cursor:
            cluster.send(1)
            wait_until(lambda: waiting(cluster), "the store to wait")
            cursor.execute("UPDATE streams SET floor = floor WHERE name = 'transactions'")
        check_back(cluster, consumer)
        assert waits(consumer) == before + 1
    assert "could not serialize access" in consumer.output()


def waits_of_new_session(cluster: Cluster, consumer: AppProcess) -> int:
    """How often the consumer has waited, once it has stored something on another connection."""
    cluster.send(1)
    cluster.check()
    return waits(consumer)
