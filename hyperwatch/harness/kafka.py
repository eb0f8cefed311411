"""Kafka for tests, benchmarks and soaks: Apache Kafka, a given cluster, or librdkafka's mock cluster."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from django.conf import settings

from hyperwatch.embedded.kafka import EmbeddedKafka
from hyperwatch.harness import apache_kafka
from hyperwatch.harness.process import GivenProcess, Process, free_port, is_listening
from realtime.kafka.admin import create_topics, delete_topics, topics


class KafkaBroker(Process):
    """One Apache Kafka broker. `env` is the environment of a process that uses it."""

    start_timeout_seconds = 60.0
    description: ClassVar[str] = f"Apache Kafka {apache_kafka.VERSION}, one broker"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.env: dict[str, str] = {}
        super().__init__("kafka", apache_kafka.command(folder), folder)

    def is_ready(self) -> bool:
        return is_listening(self.port)

    def use_new_names(self) -> None:
        """Sets new topic names and a new group: rows of earlier tests are not read."""
        self.env = {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, **new_names()}

    def launch(self) -> None:
        if not apache_kafka.properties(self.folder).exists():
            apache_kafka.format_storage(self.folder, self.port, free_port())
        super().launch()


class GivenKafka(GivenProcess, KafkaBroker):
    """The cluster of KAFKA_BOOTSTRAP_SERVERS."""

    description = "given"
    own_service_hint = "install java and Kafka's jars (.ci/kafka-jars)"

    def __init__(self, bootstrap: str, folder: Path) -> None:
        KafkaBroker.__init__(self, folder)
        self.bootstrap = bootstrap

    def is_ready(self) -> bool:
        # A client reports a cluster that cannot be reached (KafkaUnavailable).
        return True


class MockKafka(EmbeddedKafka):
    """The mock cluster with the contract's topics; `fail` and `disconnect` inject faults."""

    description: ClassVar[str] = "embedded (librdkafka's mock cluster): no disk, no java"
    bootstrap = ""

    def __init__(self, folder: Path, partitions: int | None = None) -> None:
        super().__init__(folder, [(topic.name, partitions or topic.partitions) for topic in topics()])

    def start(self) -> str:
        self.bootstrap = super().start()
        return self.bootstrap

    @property
    def env(self) -> dict[str, str]:
        """Environment of a process that uses this cluster."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap}


Kafka = KafkaBroker | MockKafka


def new_names() -> dict[str, str]:
    """Settings with topic and group names that no other run uses."""
    suffix = uuid.uuid4().hex[:12]
    return {
        "KAFKA_TOPIC_TRANSACTIONS": f"transactions.{suffix}",
        "KAFKA_TOPIC_COMPUTED_DATA": f"computed_data.{suffix}",
        "KAFKA_GROUP_ID": f"hyperwatch.{suffix}",
    }


@contextmanager
def kafka(folder: Path) -> Iterator[tuple[Kafka, dict[str, str]]]:
    """A running Kafka with new topics, set in the settings, and the environment of a process that uses it.

    It is the cluster of KAFKA_BOOTSTRAP_SERVERS, else Apache Kafka if installed, else the mock cluster.
    """
    names = new_names()
    _set(names)
    broker = _broker(folder)
    try:
        broker.start()
        env = {**names, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap}
        _set(env)
        create_topics()
        try:
            yield broker, env
        finally:
            if isinstance(broker, GivenKafka):
                delete_topics()
    finally:
        broker.stop()


def _broker(folder: Path) -> Kafka:
    # Not the setting, which may contain the address of another process's embedded broker.
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return GivenKafka(given, folder)
    return KafkaBroker(folder) if apache_kafka.is_installed() else MockKafka(folder)


def _set(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
