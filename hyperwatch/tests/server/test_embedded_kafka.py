import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hyperwatch.embedded import CannotStartError, runtime_files
from hyperwatch.embedded.kafka import SESSION_TIMEOUT_MS, EmbeddedKafka
from hyperwatch.tests.services.environment import ROOT
from realtime.kafka.admin import existing_topics, topics
from realtime.kafka.consumer import KafkaConsumer
from realtime.kafka.producer import KafkaProducer

PRODUCE = 0
REQUEST_TIMED_OUT = 7

IN_ANOTHER_PROCESS = """
import django
django.setup()
from realtime.kafka.admin import topics
from realtime.kafka.consumer import KafkaConsumer
from realtime.kafka.producer import KafkaProducer
"""
PRODUCE_THERE = """
producer = KafkaProducer()
for number in range(1_000):
    producer.send(topics()[0].name, str(number), b"%d" % number)
assert producer.flush() == 0 and producer.acknowledged == 1_000, producer.failures
"""
CONSUME_HALF_THERE = """
consumer, numbers = KafkaConsumer(), []
while len(numbers) < 500:
    batch = consumer.read(500 - len(numbers), 0.2)
    consumer.commit(batch)
    numbers += [message.value.decode() for message in batch]
consumer.close()
print(*numbers)
"""


@pytest.fixture
def broker(tmp_path: Path, settings: Settings) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path, [(topic.name, topic.partitions) for topic in topics()])
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.start()
    settings.KAFKA_SESSION_TIMEOUT_MS = SESSION_TIMEOUT_MS
    yield kafka
    kafka.stop()


def elsewhere(script: str, address: str) -> str:
    """The output of `script` in a process of its own, as a second shell would start it."""
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": address}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS + script]
    return subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def read(consumer: KafkaConsumer, count: int, seconds: float = 20.0) -> list[bytes | None]:
    values: list[bytes | None] = []
    deadline = time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        values += [message.value for message in consumer.read(count - len(values), 0.1)]
    return values


def test_group_resumes_at_offset_of_another_process(broker: EmbeddedKafka, tmp_path: Path) -> None:
    address = runtime_files.kafka(tmp_path)
    elsewhere(PRODUCE_THERE, address)
    first = elsewhere(CONSUME_HALF_THERE, address).split()
    consumer = KafkaConsumer()
    rest = read(consumer, 500)
    consumer.close()
    assert sorted([*map(int, first), *(int(value or b"") for value in rest)]) == list(range(1_000))


def test_it_has_the_topics_it_was_given(broker: EmbeddedKafka) -> None:
    assert existing_topics() == {topic.name for topic in topics()}


def test_broker_address_exists_while_broker_runs(tmp_path: Path) -> None:
    assert runtime_files.kafka(tmp_path) == ""
    with EmbeddedKafka(tmp_path, [("a", 1)]) as address:
        assert runtime_files.kafka(tmp_path) == address
    assert runtime_files.kafka(tmp_path) == ""
    assert not runtime_files.kafka_file(tmp_path).exists()


def test_the_address_of_a_killed_run_misleads_nobody(tmp_path: Path) -> None:
    runtime_files.kafka_file(tmp_path).write_text("127.0.0.1:9\n")
    assert runtime_files.kafka(tmp_path) == ""
    with EmbeddedKafka(tmp_path, [("a", 1)]) as address:
        assert runtime_files.kafka(tmp_path) == address


def test_a_second_one_in_the_same_folder_is_refused(broker: EmbeddedKafka, tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="is running already"):
        EmbeddedKafka(tmp_path, []).start()
    assert existing_topics() == {topic.name for topic in topics()}


def test_errors_that_it_is_told_to_answer_are_answered(broker: EmbeddedKafka) -> None:
    producer = KafkaProducer()
    broker.fail(PRODUCE, REQUEST_TIMED_OUT, REQUEST_TIMED_OUT)
    producer.send(topics()[0].name, None, b"{}")
    assert producer.flush(10) == 0
    assert (producer.acknowledged, producer.failures) == (1, [])


def test_unavailable_broker_acknowledges_nothing_and_loses_nothing(
    broker: EmbeddedKafka,
) -> None:
    producer, consumer = KafkaProducer(), KafkaConsumer()
    producer.send(topics()[0].name, None, b"before")
    assert read(consumer, 1) == [b"before"]
    broker.disconnect()
    producer.send(topics()[0].name, None, b"meanwhile")
    assert producer.flush(0.5) == 1
    broker.reconnect()
    assert producer.flush(10) == 0
    assert read(consumer, 1) == [b"meanwhile"]
    consumer.close()
