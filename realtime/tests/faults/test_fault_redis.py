"""Redis restarted, frozen and full: it is a doorbell, and nothing but the bell is lost."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.cluster import Cluster, embedded_kafka, running_cluster
from realtime.tests.websocket_client import metric

pytestmark = [pytest.mark.redis]

Fault = Callable[[RedisServer], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def cluster(_migrated: Database, _redis: RedisServer, tmp_path_factory: Folders) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    _redis.ensure_running()
    with (
        embedded_kafka(folder / "kafka") as kafka,
        running_cluster(_migrated, kafka.env, folder, **_redis.env) as cluster,
    ):
        cluster.web.allows_traceback = True  # The layer logs a traceback of its own when its connection breaks.
        yield cluster


@pytest.fixture(scope="module")
def consumer(cluster: Cluster) -> AppProcess:
    return cluster.working()


@contextmanager
def dead(redis: RedisServer) -> Iterator[None]:
    redis.kill()
    yield
    redis.start()


@contextmanager
def frozen(redis: RedisServer) -> Iterator[None]:
    redis.pause()
    yield
    redis.resume()


@contextmanager
def full(redis: RedisServer) -> Iterator[None]:
    redis.client().config_set("maxmemory", 1)
    yield
    redis.client().config_set("maxmemory", 0)


@pytest.mark.parametrize(("fault", "word"), [(dead, "down"), (frozen, "down"), (full, "ok")])
def test_redis_fault_stops_nothing_and_recovers(
    cluster: Cluster, consumer: AppProcess, redis_server: RedisServer, fault: Fault, word: str
) -> None:
    cluster.send(20)
    cluster.check()
    with fault(redis_server):
        cluster.send(20)
        cluster.check()
        cluster.check_counts_as_read()
        assert cluster.ready("channel_layer")[::2] == (200, word)
        cluster.check_reads()
        cluster.check_socket()
    wait_until(lambda: is_reported(cluster, consumer), "the layer to be told again", 20)
    cluster.check()
    cluster.check_silent()
    answer = [metric(consumer, f"hyperwatch_{name}_total") for name in ("publish_events", "publish_failed_events")]
    assert sum(answer) == cluster.sent
    assert cluster.ready("channel_layer") == (200, "ok", "ok")
    cluster.check_reads()
    cluster.check_socket()


def is_reported(cluster: Cluster, consumer: AppProcess) -> bool:
    before = metric(consumer, "hyperwatch_publish_events_total")
    cluster.send(1)
    cluster.check()
    return metric(consumer, "hyperwatch_publish_events_total") > before
