"""A consumer that dies or freezes at the worst places, and consumers that take over from each other."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import KafkaBroker
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.cluster import Cluster, apache, running_cluster, waits
from realtime.tests.ingest_helpers import health
from realtime.tests.websocket_client import metric

pytestmark = [pytest.mark.redis, pytest.mark.kafka]


@pytest.fixture(scope="module")
def cluster(
    _migrated: Database, _redis: RedisServer, _kafka: KafkaBroker, tmp_path_factory: Folders
) -> Iterator[Cluster]:
    _redis.ensure_running()
    with running_cluster(_migrated, apache(_kafka), tmp_path_factory.mktemp("cluster"), **_redis.env) as cluster:
        yield cluster


def known(consumer: AppProcess) -> int:
    return metric(consumer, 'hyperwatch_ingest_duplicates_total{stream="transactions"}')


def test_consumer_killed_at_each_step_loses_nothing(cluster: Cluster) -> None:
    killed(cluster, at="copied:1")
    assert cluster.stored == 0, "before the commit nothing is there"
    cluster.check_silent()

    # The first message comes again; the second kills between the commit of its row and its publishing.
    killed(cluster, at="stored:2")
    assert cluster.stored == 2
    cluster.check()

    # The third kills between its publishing and the commit of its offset to Kafka.
    killed(cluster, at="published:1")
    cluster.check()

    assert cluster.committed() == 2
    last = cluster.working()
    cluster.check_counts_as_read()
    cluster.send(1)
    cluster.check()
    cluster.check_counts_as_read()
    assert known(last) == 0
    assert metric(last, "hyperwatch_publish_events_total") == 1
    cluster.check_silent()
    last.stop()


def killed(cluster: Cluster, at: str) -> None:
    """Sends a message that a consumer dies of at that place."""
    doomed = cluster.working(INGEST_KILL_AT=at)
    if at.endswith("2"):
        wait_until(
            lambda: metric(doomed, "hyperwatch_ingest_batch_size_messages_count") == 1, "the last message to come again"
        )
    cluster.send(1)
    assert doomed.wait(20) == -signal.SIGKILL


def test_rebalance_during_batch_loses_and_repeats_nothing(cluster: Cluster) -> None:
    """The first consumer has read a batch and waits for the database when the second one comes."""
    first = cluster.working()
    with cluster.out_of_connections():
        cluster.send(30)
        wait_until(lambda: waits(first) >= 1, "the first to wait with its batch")
        second = cluster.consumer()
        wait_until(
            lambda: waits(second) >= 1, "the second to wait with a batch of what the first has not committed", 20
        )
        assert cluster.committed() == cluster.sent - 30
        assert cluster.members() == 2, "who waits for the database takes part in the rebalance"
    cluster.check()
    wait_until(lambda: health(first)["lag"] + health(second)["lag"] == 0, "everything to be read")
    cluster.send(30)
    cluster.check()
    cluster.check_silent()
    cluster.check_counts_as_read()
    end(first, second)


def test_third_consumer_replaces_killed_and_frozen_ones(cluster: Cluster) -> None:
    """The frozen one has its batch in an open transaction; it holds no lock in it, so the third takes over."""
    frozen = cluster.consumer(INGEST_PAUSE_AT="copied:2", KAFKA_MAX_BATCH_MESSAGES="10")
    doomed = cluster.consumer(INGEST_KILL_AT="stored:2", KAFKA_MAX_BATCH_MESSAGES="10")
    third = cluster.consumer(KAFKA_MAX_BATCH_MESSAGES="10")
    share(frozen, doomed, third)
    cluster.send(300)
    assert doomed.wait(20) == -signal.SIGKILL
    wait_until(lambda: is_frozen(frozen), "the other to be frozen")
    takes_over(third)
    cluster.check()
    check_comes_back(cluster, frozen)
    end(frozen, third)


def test_consumer_frozen_before_publishing_publishes_late_once(cluster: Cluster) -> None:
    frozen, other = cluster.consumer(INGEST_PAUSE_AT="stored:1"), cluster.consumer()
    share(frozen, other)
    cluster.send(50)
    wait_until(lambda: is_frozen(frozen), "the one to be frozen")
    takes_over(other)
    cluster.check()
    assert known(other) == 0
    check_comes_back(cluster, frozen)
    assert metric(frozen, "hyperwatch_publish_events_total") > 0
    end(frozen, other)


def share(*consumers: AppProcess) -> None:
    wait_until(lambda: all(health(consumer)["assigned"] for consumer in consumers), "a share for each", 20)


def takes_over(consumer: AppProcess) -> None:
    wait_until(lambda: len(health(consumer)["assigned"]) == 15, "all partitions to have gone to one", 20)


def is_frozen(consumer: AppProcess) -> bool:
    return Path(f"/proc/{consumer.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def check_comes_back(cluster: Cluster, frozen: AppProcess) -> None:
    """It goes on with what others have stored meanwhile, is taken into the group again, and all goes on."""
    frozen.resume()
    wait_until(lambda: "offsets not committed" in frozen.output(), "its offsets to be refused")
    wait_until(lambda: health(frozen)["assigned"], "a share for it", 20)
    cluster.check_silent()
    cluster.send(50)
    cluster.check()
    cluster.check_counts_as_read()
    cluster.check_silent()


def end(*consumers: AppProcess) -> None:
    for consumer in consumers:
        consumer.stop()
