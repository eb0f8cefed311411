"""All processes together, on the embedded Kafka: the life of a message, and one fault of each part."""

import signal
from collections.abc import Iterator

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.fixtures import Folders
from realtime.tests.cluster import Cluster
from realtime.tests.cluster_on_postgres import Place, check_away, check_back, cluster_on_own_postgres
from realtime.tests.websocket_client import metric


@pytest.fixture(scope="module")
def place(tmp_path_factory: Folders) -> Iterator[Place]:
    with cluster_on_own_postgres(tmp_path_factory.mktemp("cluster")) as place:
        yield place


@pytest.fixture
def cluster(place: Place) -> Cluster:
    """Before each test something was stored, and its offsets are committed."""
    place.cluster.send(20)
    place.cluster.check()
    place.cluster.check_counts_as_read()
    return place.cluster


@pytest.fixture
def consumer(place: Place) -> AppProcess:
    return place.consumers[-1]


def test_message_from_kafka_reaches_rest_and_websocket(cluster: Cluster) -> None:
    cluster.send(1)
    cluster.check()
    status, body = cluster.get("/api/v1/transactions?page_size=1")
    assert (status, body["data"]["items"]) == (200, [cluster.listener.facts[-1]["data"]])


def test_stopped_postgresql_commits_no_offset_and_recovers(
    place: Place, cluster: Cluster, consumer: AppProcess
) -> None:
    place.server.stop()
    try:
        check_away(cluster, consumer)
    finally:
        place.server.start()
    check_back(cluster, consumer)


def test_consumer_killed_before_publishing_repeats_nothing(place: Place, cluster: Cluster) -> None:
    """Killed between the commit of the rows and their publishing: the hub reads them, the next consumer skips them."""
    place.consumers[-1].stop()
    doomed = cluster.working(INGEST_KILL_AT="stored:1")
    cluster.send(1)
    assert doomed.wait(20) == -signal.SIGKILL
    assert cluster.stored == cluster.sent
    assert cluster.committed() == cluster.sent - 1
    cluster.check()
    place.consumers.append(cluster.working())
    cluster.check_counts_as_read()
    cluster.check_silent()
    assert metric(place.consumers[-1], 'hyperwatch_ingest_duplicates_total{stream="transactions"}') == 0
