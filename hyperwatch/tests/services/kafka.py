"""Apache Kafka for tests: one broker in KRaft mode, from the jars that `.ci/run` fetches."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from hyperwatch.embedded.kafka import EmbeddedKafka
from hyperwatch.tests.services.process import Process
from hyperwatch.tests.services.waiting import free_port, listens

VERSION = "4.1.2"
CLUSTER_ID = "aHlwZXJ3YXRjaC10ZXN0cw"  # 16 bytes in URL-safe base64

# The two broker.* lines bring the port back 5 s after a SIGKILL in place of 12.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.retention.check.interval.ms=1000
"""


class KafkaBroker(Process):
    name = "kafka"
    seconds_to_start = 60.0

    def __init__(self, jars: Path, folder: Path) -> None:
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.env: dict[str, str] = {}
        self._classpath = f"{jars}/*"
        self._properties = folder / "server.properties"
        flags = ["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        super().__init__(["java", *flags, "-cp", self._classpath, "kafka.Kafka", str(self._properties)], folder)

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
        if not self._properties.exists():
            self._format()
        super().start()

    def _format(self) -> None:
        self._properties.write_text(PROPERTIES.format(port=self.port, controller=free_port(), folder=self.folder))
        tool = ["java", "-cp", self._classpath, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
        subprocess.run([*tool, "-c", str(self._properties)], check=True, capture_output=True, timeout=60)


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


def jars() -> Path | None:
    """The folder of Kafka's jars: KAFKA_LIBS, or where `.ci/run` leaves them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("KAFKA_LIBS") or cache / "hyperwatch" / f"kafka-{VERSION}")
    return folder if any(folder.glob("kafka-server-*.jar")) else None


def available() -> bool:
    return shutil.which("java") is not None and jars() is not None
