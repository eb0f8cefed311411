"""The Apache Kafka of the tests keeps its topics."""

import pytest

from hyperwatch.harness.kafka import KafkaBroker
from realtime.kafka.admin import existing_topics, topics


@pytest.mark.kafka
def test_kafka_keeps_its_topics_through_a_crash(apache_kafka: KafkaBroker) -> None:
    names = {topic.name for topic in topics()}
    assert names <= existing_topics()
    apache_kafka.kill()
    apache_kafka.ensure_running()
    assert names <= existing_topics(timeout=20)
