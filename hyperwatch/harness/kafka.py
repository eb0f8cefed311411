"""Kafka for tests: Apache's own, which can be killed and frozen, and the embedded one."""

import uuid
from pathlib import Path

import pytest

from hyperwatch.embedded.kafka import EmbeddedKafka
from hyperwatch.harness import apache_kafka
from hyperwatch.harness.process import free_port, listens
from hyperwatch.tests.services.process import Process


class KafkaBroker(Process):
    name = "kafka"
    seconds_to_start = 60.0

    def __init__(self, jars: Path, folder: Path) -> None:
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.env: dict[str, str] = {}
        self._jars = jars
        super().__init__(apache_kafka.command(jars, folder), folder)

    def ready(self) -> bool:
        return listens(self.port)

    def take_names_of_own(self) -> None:
        """Other topics and another group than before: what earlier tests left concerns nobody."""
        own = uuid.uuid4().hex[:12]
        self.env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_TOPIC_TRANSACTIONS": f"transactions.{own}",
            "KAFKA_TOPIC_COMPUTED_DATA": f"computed_data.{own}",
            "KAFKA_GROUP_ID": f"hyperwatch.{own}",
        }

    def start(self) -> None:
        if not apache_kafka.properties(self.folder).exists():
            apache_kafka.prepare(self._jars, self.folder, self.port, free_port())
        super().start()


class GivenKafka(KafkaBroker):
    """The Kafka of KAFKA_BOOTSTRAP_SERVERS, for machines without Java or the jars: not ours to break."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        super().__init__(Path(), folder)
        self.bootstrap = bootstrap

    def start(self) -> None:
        pass

    def signal(self, number: object) -> None:
        pytest.skip("only a Kafka of the tests' own can be broken: it needs java and Kafka's jars")

    def heal(self) -> None:
        pass

    def stop(self) -> None:
        pass


class MockKafka(EmbeddedKafka):
    """The embedded broker with the contract's topics, empty, for one test; `fail` and `go_away` break it."""

    bootstrap = ""

    def start(self) -> str:
        self.bootstrap = super().start()
        return self.bootstrap

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this broker."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap}
