"""All the parts as processes, with a client that listens, for tests that break one of them.

Every message has a number: in the end each is stored once, and the client has seen each event once and
in order, whatever happened in between.
"""

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.test import override_settings

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import KafkaBroker, MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.pages.health import FRESH_SECONDS
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.kafka.admin import create_topics
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import health, send
from realtime.tests.websocket_client import Client, client, metric

READY = "/health/ready"

Answer = tuple[int, dict[str, Any]]

# A poll of the heads starts the backfill without Redis; a session timeout detects a dead member.
QUICK = {
    "STREAM_SYNC_INTERVAL_SECONDS": "0.2",
    "KAFKA_SESSION_TIMEOUT_MS": "1000",
    "DATABASE_STATEMENT_TIMEOUT_SECONDS": "1",
}


class Cluster:
    """`kafka` and `env` are what the processes find in their environment; `env` may name a Redis."""

    def __init__(self, database: Database, kafka: Mapping[str, str], folder: Path, **env: str) -> None:
        self.database = database
        self.sent = 0
        self._looked_at = -FRESH_SECONDS
        self.kafka = dict(kafka)
        # No superuser: limits hold for it.
        self._role = f"cluster_{uuid.uuid4().hex[:12]}"
        self._env = {**QUICK, **database.as_role(self._role).env, **kafka, **env}
        self._folder = folder
        self._left = ExitStack()

    def __enter__(self) -> Self:
        self.database.query(f'CREATE ROLE "{self._role}" LOGIN PASSWORD %s IN ROLE CURRENT_USER', self._role)
        self._left.callback(self.database.query, f'DROP ROLE "{self._role}"')
        self._serve = self._left.enter_context(commands.running("serve", self._folder, **self._env))
        self._consume = self._left.enter_context(commands.running("consume", self._folder, **self._env))
        self.web = self._serve()
        self.listener = self.listens()
        return self

    def __exit__(self, *_error: object) -> None:
        self._left.close()

    def listens(self) -> Client:
        """A client that has subscribed to the transactions; its socket stays."""
        listener = self._left.enter_context(client(self.web.ws_url))
        listener.subscribe("transactions")
        return listener

    def consumer(self, **env: str) -> AppProcess:
        """Another consumer; it ends with the cluster."""
        return self._consume(**env)

    def working(self, **env: str) -> AppProcess:
        """Another consumer, once it has all partitions."""
        consumer = self.consumer(**env)
        wait_until(lambda: len(health(consumer)["assigned"]) == 15, "every partition", 20)
        return consumer

    @contextmanager
    def out_of_connections(self) -> Iterator[None]:
        """The processes' connections to the database are cut off, and it has none for them meanwhile."""
        self.database.query(f'ALTER ROLE "{self._role}" CONNECTION LIMIT 0')
        self.cut_off()
        try:
            yield
        finally:
            self.database.query(f'ALTER ROLE "{self._role}" CONNECTION LIMIT -1')

    @contextmanager
    def sessions_with(self, setting: str) -> Iterator[None]:
        """The processes begin new sessions in the database, with `setting` meanwhile."""
        self.database.query(f'ALTER ROLE "{self._role}" SET {setting}')
        self.cut_off()
        try:
            yield
        finally:
            self.database.query(f'ALTER ROLE "{self._role}" RESET ALL')
            self.cut_off()

    def cut_off(self) -> None:
        """Ends every connection of the processes to the database, whatever is under way on it."""
        self.database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", self._role)

    def send(self, count: int, **overrides: Any) -> None:
        """So many more transactions, of a wallet each, so that they spread over the partitions."""
        tids = range(self.sent, self.sent + count)
        with override_settings(**self.kafka):
            send([transaction(raw_data={"tid": tid}, **overrides)._replace(key=str(tid).encode()) for tid in tids])
        self.sent += count

    def check(self, seconds: float = 30) -> None:
        """Waits until every sent message is stored once and published once, in order."""
        wait_until(lambda: self.stored >= self.sent, f"{self.sent} transactions", seconds)
        self.listener.wait_for(self.sent)
        assert sorted(self._tids()) == list(range(self.sent))
        assert self.database.query("SELECT id FROM transactions ORDER BY id") == [(n + 1,) for n in range(self.sent)]
        assert self.database.value("SELECT head FROM streams WHERE name = 'transactions'") == self.sent
        assert self.listener.seqs("transactions") == list(range(1, self.sent + 1))
        assert sorted(fact["data"]["raw_data"]["tid"] for fact in self.listener.facts) == list(range(self.sent))
        assert self.database.query("SELECT reason, error FROM dead_letters") == []

    def check_counts_as_read(self) -> None:
        """Waits until the group's offsets stand behind everything that was sent."""
        wait_until(lambda: self.committed() == self.sent, f"{self.sent} messages to count as read", pause=0.1)

    def committed(self) -> int:
        """How many transactions count as read, by the group's offsets."""
        topic = self.kafka.get("KAFKA_TOPIC_TRANSACTIONS", settings.KAFKA_TOPIC_TRANSACTIONS)
        group = self.kafka.get("KAFKA_GROUP_ID", settings.KAFKA_GROUP_ID)
        onlooker = Consumer({"bootstrap.servers": self.kafka["KAFKA_BOOTSTRAP_SERVERS"], "group.id": group})
        try:
            places = onlooker.committed([TopicPartition(topic, number) for number in range(10)], 10)
            return sum(max(place.offset, 0) for place in places)
        finally:
            onlooker.close()

    def members(self) -> int:
        """How many consumers the group has, as Kafka sees it."""
        admin = AdminClient({"bootstrap.servers": self.kafka["KAFKA_BOOTSTRAP_SERVERS"]})
        group = self.kafka.get("KAFKA_GROUP_ID", settings.KAFKA_GROUP_ID)
        return len(admin.describe_consumer_groups([group])[group].result(10).members)

    def check_silent(self) -> None:
        """That nothing more comes, though the heads are looked at several times."""
        assert self.listener.silent_for(0.5)

    @property
    def stored(self) -> int:
        return int(self.database.value("SELECT count(*) FROM transactions"))

    def _tids(self) -> list[int]:
        return [tid for (tid,) in self.database.query("SELECT (raw_data->>'tid')::int FROM transactions")]

    def get(self, path: str) -> Answer:
        """Status and body of a response; readiness is read after its cache expired."""
        if path.startswith(READY):
            time.sleep(max(0.0, self._looked_at + 1.1 * FRESH_SECONDS - time.monotonic()))
        try:
            with urllib.request.urlopen(f"{self.web.url}{path}", timeout=10) as answer:  # noqa: S310 (http, ours)
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)
        finally:
            if path.startswith(READY):
                self._looked_at = time.monotonic()

    def ready(self, part: str) -> tuple[int, str, str]:
        """The status of `/health/ready`, its word for the whole, and for a part."""
        status, returned = self.get(READY)
        return status, returned["status"], returned["checks"][part]["status"]

    def check_reads(self, status: int = 200) -> None:
        """That the API answers with this status, enveloped."""
        got, returned = self.get("/api/v1/transactions?page_size=1")
        assert (got, returned["code"]) == (status, status)

    def check_socket(self) -> None:
        """That the listener's connection is the one it was."""
        assert self.listener.ask(type="ping")["type"] == "pong"


def waits(consumer: AppProcess) -> int:
    """How often it has waited for the database."""
    return metric(consumer, "hyperwatch_ingest_database_retries_total")


@contextmanager
def running_cluster(template: Database, kafka: Mapping[str, str], folder: Path, **env: str) -> Iterator[Cluster]:
    """A cluster with a database of its own."""
    database = template.copy()
    try:
        with Cluster(database, kafka, folder, **env) as cluster:
            yield cluster
    finally:
        database.drop()


def apache(broker: KafkaBroker) -> dict[str, str]:
    """What a process needs in its environment for topics and a group of its own on Apache Kafka."""
    broker.ensure_running()
    broker.use_new_names()
    with override_settings(**broker.env):
        create_topics()
    return broker.env


@contextmanager
def embedded_kafka(folder: Path) -> Iterator[MockKafka]:
    """The embedded broker for a module's tests."""
    broker = MockKafka(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
