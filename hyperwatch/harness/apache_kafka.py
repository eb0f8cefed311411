"""Apache Kafka: one broker in KRaft mode, from the jars that `.ci/kafka-jars` downloads."""

import os
import shutil
import subprocess
from pathlib import Path

VERSION = "4.1.2"
CLUSTER_ID = "aHlwZXJ3YXRjaC10ZXN0cw"  # 16 bytes in URL-safe base64
FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")

# The two broker.* lines shorten the restart after SIGKILL from 12 s to 5 s, until the port is open.
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


def jars() -> Path:
    """The folder of Kafka's jars: KAFKA_LIBS, else the one that `.ci/kafka-jars` fills."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("KAFKA_LIBS") or cache / "hyperwatch" / f"kafka-{VERSION}")


def is_installed() -> bool:
    return shutil.which("java") is not None and any(jars().glob("kafka-server-*.jar"))


def properties(folder: Path) -> Path:
    return folder / "server.properties"


def command(folder: Path) -> list[str]:
    """The command line of the broker in `folder`."""
    return ["java", *FLAGS, "-cp", f"{jars()}/*", "kafka.Kafka", str(properties(folder))]


def format_storage(
    folder: Path, port: int, controller: int, extra: str = "", *options: str, **extra_ports: int
) -> None:
    """Creates an empty broker in `folder` for these two loopback ports.

    `extra` has further properties, of which the last of a name counts, and `options` are those of StorageTool.
    """
    ports = {"port": port, "controller": controller, **extra_ports}
    properties(folder).write_text((PROPERTIES + extra).format(folder=folder, **ports))
    tool = ["java", "-cp", f"{jars()}/*", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
    command = [*tool, "-c", str(properties(folder)), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=60)  # noqa: S603
