"""Apache Kafka with TLS and SASL: every client connects, and a refusal names the broker and the reason."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import new_names
from hyperwatch.harness.local_http import open_local
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.streams import TopicName
from realtime.tests.builders import transaction
from realtime.tests.secure_kafka import KEY_PASSWORD, PASSWORD, SecureKafka

pytestmark = pytest.mark.kafka

FACTS = 20


@pytest.fixture(scope="module")
def broker(tmp_path_factory: Folders) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("secure-kafka")) as kafka:
        yield kafka


@pytest.fixture
def secure_kafka(broker: SecureKafka) -> SecureKafka:
    """The broker, with topics and a group of the test's own."""
    broker.env = new_names()
    return broker


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def recording(folder: Path) -> str:
    """A file of facts for `replay`."""
    lines = []
    for tid in range(FACTS):
        with override_settings(KAFKA_TOPIC_TRANSACTIONS=str(TopicName.TRANSACTIONS)):
            fact = transaction(raw_data={"tid": tid})
        lines.append({"topic": fact.topic, "key": str(tid), "value": json.loads(fact.value or b"")})
    file = folder / "facts.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(file)


def check_no_secret(*texts: str) -> None:
    for text in texts:
        assert PASSWORD not in text
        assert KEY_PASSWORD not in text


@pytest.mark.parametrize("way", ["password", "certificate"])
def test_all_clients_work_with_secured_broker(
    way: str, secure_kafka: SecureKafka, fresh_database: Database, web_server: Start, consumer_process: Start,
    tmp_path: Path,
) -> None:  # fmt: skip
    env = secure_kafka.client_env() if way == "password" else secure_kafka.certificate_env()
    env |= {"KAFKA_OPTIONS": r"client.id=hw\,test,socket.timeout.ms=20000"}
    prepared = run("init_db", **fresh_database.env, **env)
    topics = f"{env['KAFKA_TOPIC_TRANSACTIONS']}, {env['KAFKA_TOPIC_COMPUTED_DATA']}"
    assert f"topics: created {topics}" in prepared.stdout
    sent = run("replay", recording(tmp_path), **env)
    assert (sent.returncode, f"{FACTS} sent and acknowledged" in sent.stdout) == (0, True), sent.stderr
    consumer, web = consumer_process(**env), web_server(**env)
    wait_until(lambda: fresh_database.value("SELECT count(*) FROM transactions") == FACTS, "the facts", 20)
    assert kafka_check(web) == {"status": "ok"}
    check_no_secret(prepared.stdout, prepared.stderr, sent.stdout, sent.stderr, consumer.output(), web.output())


def kafka_check(web: AppProcess) -> dict[str, str]:
    with open_local(f"{web.url}/health/ready", timeout=20) as response:
        check: dict[str, str] = json.load(response)["checks"]["kafka"]
    return check


def refusals(kafka: SecureKafka) -> dict[str, tuple[dict[str, str], list[str]]]:
    """The settings of each refused client, and what its errors must contain."""
    dead = f"127.0.0.1:{free_port()}"
    return {
        "a wrong password": (
            kafka.client_env(KAFKA_SASL_PASSWORD=f"{PASSWORD}-wrong"),
            [f"broker 127.0.0.1:{kafka.sasl}: SASL authentication error", "invalid credentials"],
        ),
        "another CA": (
            kafka.client_env(KAFKA_SSL_CA_LOCATION=str(kafka.other_ca)),
            [f"broker 127.0.0.1:{kafka.sasl}: SSL handshake failed", "verify that KAFKA_SSL_CA_LOCATION"],
        ),
        "plaintext to TLS": (
            {**kafka.env, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.sasl}"},
            [f"127.0.0.1:{kafka.sasl}: connection closed", "TLS or SASL needs KAFKA_SECURITY_PROTOCOL"],
        ),
        "TLS to plaintext": (
            kafka.client_env(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{kafka.port}"),
            [f"broker 127.0.0.1:{kafka.port}: ", "SSL connection closed by peer"],
        ),
        "no certificate": (
            kafka.client_env(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{kafka.ssl}"),
            [f"broker 127.0.0.1:{kafka.ssl}: "],
        ),
        "a dead broker": (
            kafka.client_env(KAFKA_BOOTSTRAP_SERVERS=dead),
            [f"broker {dead}: Connect to ipv4#{dead} failed: Connection refused"],
        ),
    }


def test_command_names_broker_and_reason(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    file = recording(tmp_path)
    for name, (env, parts) in refusals(secure_kafka).items():
        ended = run("replay", file, **env)
        assert ended.returncode == 1, name
        assert [part for part in parts if part not in ended.stderr] == [], (name, ended.stderr)
        assert "Traceback" not in ended.stderr
        check_no_secret(ended.stdout, ended.stderr)


def test_consumer_and_readiness_name_broker_and_reason(
    secure_kafka: SecureKafka, fresh_database: Database, web_server: Start, consumer_process: Start
) -> None:
    env, parts = refusals(secure_kafka)["a wrong password"]
    consumer, web = consumer_process(**env), web_server(**env)
    wait_until(lambda: all(part in consumer.output() for part in parts), "the reason in the log", 20)
    check = kafka_check(web)
    assert check["status"] == "down"
    assert [part for part in parts if part not in check["error"]] == []
    check_no_secret(consumer.output(), web.output(), str(check))


def test_resend_of_dead_letters_names_refused_broker(secure_kafka: SecureKafka, fresh_database: Database) -> None:
    env, parts = refusals(secure_kafka)["a dead broker"]
    insert = (
        "INSERT INTO dead_letters (topic, partition, \"offset\", reason, error) VALUES ('t', 0, 7, 'NOT_JSON', 'e')"
    )
    fresh_database.query(insert)
    options = {"KAFKA_OPTIONS": "message.timeout.ms=1500"}
    ended = run("dead_letters", "send", "--all", **env, **fresh_database.env, **options)
    assert ended.returncode == 1
    assert "1 of 1 letters" in ended.stderr
    assert parts[0] in ended.stderr
