"""The services that other tests rely on do what their fixtures say."""

import pytest
from django.conf import settings as django_settings

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.commands import Start


def test_the_shell_lends_no_service_to_the_settings() -> None:
    assert django_settings.REDIS_URL == ""
    assert django_settings.KAFKA_BOOTSTRAP_SERVERS == ""


def test_a_fresh_database_is_migrated_and_alone(fresh_database: Database) -> None:
    fresh_database.query("CREATE TABLE only_here (n int)")
    other = fresh_database.sibling("postgres").copy()
    assert fresh_database.value("SELECT count(*) FROM django_migrations") > 0
    assert other.value("SELECT to_regclass('only_here')") is None
    other.drop()


@pytest.mark.redis
def test_redis_comes_back_from_each_fault(redis_server: RedisServer) -> None:
    redis_server.pause()
    redis_server.resume()
    assert redis_server.is_ready()
    redis_server.kill()
    assert not redis_server.is_ready()
    redis_server.ensure_running()
    redis_server.restart()
    assert redis_server.is_ready()


def test_web_server_and_consumer_start_and_stop_cleanly(
    web_server: Start, consumer_process: Start, mock_kafka: MockKafka
) -> None:
    for process in (web_server(), consumer_process(**mock_kafka.env)):
        assert process.is_ready()
        process.stop()
        assert (process.returncode, process.unexpected_traceback()) == (0, "")
