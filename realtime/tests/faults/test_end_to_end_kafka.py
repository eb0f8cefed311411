"""Recorded messages over Apache Kafka and Redis."""

import pytest

from hyperwatch.harness.kafka import KafkaBroker
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.commands import Start
from realtime.tests.server.test_end_to_end import DATA, check_replay

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not beside the project")


def test_recorded_messages_arrive_once_over_kafka_and_redis(
    apache_kafka: KafkaBroker,
    redis_server: RedisServer,
    fresh_database: Database,
    web_server: Start,
    consumer_process: Start,
) -> None:
    redis = {"REDIS_URL": redis_server.url}
    check_replay(fresh_database, web_server(**redis), consumer_process(**redis, **apache_kafka.env))
