"""All processes on a PostgreSQL server of their own, for tests that stop it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.cluster import Cluster, embedded_kafka, waits


class Place(NamedTuple):
    """A server that may be stopped (all other tests share one), and all parts on it; the last consumer runs."""

    server: EmbeddedPostgres
    cluster: Cluster
    consumers: list[AppProcess]


@contextmanager
def cluster_on_own_postgres(logs: Path) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder)
    database = Database(server.start())
    database.migrate()
    with embedded_kafka(folder / "kafka") as kafka, Cluster(database, kafka.env, logs) as cluster:
        yield Place(server, cluster, [cluster.working()])
    server.remove()
    shutil.rmtree(folder)


def check_away(cluster: Cluster, consumer: AppProcess) -> None:
    """The API says so, readiness says so, the socket stays, the consumer tries again, and no offset moves on."""
    before = waits(consumer)
    cluster.send(10)
    wait_until(lambda: waits(consumer) >= before + 3, "the consumer to try again and again")
    cluster.check_reads(503)
    assert cluster.ready("database") == (503, "down", "down")
    cluster.check_socket()
    assert cluster.committed() == cluster.sent - 10


def check_back(cluster: Cluster, consumer: AppProcess) -> None:
    """Without a restart of any process."""
    cluster.check()
    cluster.check_counts_as_read()
    cluster.check_reads()
    assert cluster.ready("database") == (200, "ok", "ok")
    assert consumer.is_running
    cluster.check_silent()
