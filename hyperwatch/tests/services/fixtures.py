"""The fixtures of the services, for every test in the project."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import TransactionTestCase
from pytest_django.fixtures import Settings

from hyperwatch.harness import apache_kafka as apache
from hyperwatch.harness import redis
from hyperwatch.harness.kafka import GivenKafka, KafkaBroker, MockKafka
from hyperwatch.harness.postgres import Database, postgres_server
from hyperwatch.harness.process import NotOwnedError
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import DATA_DIR, given
from hyperwatch.tests.services.tables import empty_tables
from realtime.kafka.admin import create_topics

Folders = pytest.TempPathFactory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A test that breaks a given service is skipped."""
    try:
        return (yield)
    except NotOwnedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def _server() -> Iterator[Database]:
    DATA_DIR.mkdir(mode=0o711, exist_ok=True)
    # A power cut may lose the rows of a test.
    with postgres_server(DATA_DIR, given.get("DATABASE_URL", ""), {"fsync": "off"}) as server:
        yield Database(server.url)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(_server: Database) -> None:
    """pytest-django asks for this before it makes the tests' database: the server runs from here on."""


@pytest.fixture(scope="session", autouse=True)
def _emptied_tables() -> Iterator[None]:
    """pytest-django has no hook for this: its transactional tests are cases of Django's class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield


@pytest.fixture(scope="session")
def _migrated(_server: Database) -> Iterator[Database]:
    template = _server.sibling(f"template_{uuid.uuid4().hex[:12]}")
    template.create()
    try:
        template.migrate()
        yield template
    finally:
        template.drop()


@pytest.fixture
def fresh_database(_migrated: Database) -> Iterator[Database]:
    """A migrated database of the test's own, for processes and for what commits."""
    database = _migrated.copy()
    yield database
    database.drop()


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: Folders) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    server = redis.redis_server(folder, "" if redis.is_installed() else given["REDIS_URL"])
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """A Redis that runs and is empty, whatever the test before did to it."""
    _redis.ensure_running()
    _redis.flush()
    return _redis


@pytest.fixture(scope="session")
def _kafka(tmp_path_factory: Folders) -> Iterator[KafkaBroker]:
    folder = tmp_path_factory.mktemp("kafka")
    broker = KafkaBroker(folder) if apache.is_installed() else GivenKafka(given["KAFKA_BOOTSTRAP_SERVERS"], folder)
    yield broker
    broker.stop()


@pytest.fixture
def apache_kafka(_kafka: KafkaBroker, settings: Settings) -> KafkaBroker:
    """A broker that runs, with topics and a group of the test's own, in the settings and in its `env`."""
    _kafka.ensure_running()
    _kafka.use_new_names()
    for name, value in _kafka.env.items():
        setattr(settings, name, value)
    create_topics()
    return _kafka


@pytest.fixture
def mock_kafka(settings: Settings, tmp_path: Path) -> Iterator[MockKafka]:
    """The embedded broker, in the settings: for whatever needs a Kafka and not Apache's own."""
    broker = MockKafka(tmp_path / "mock-kafka")
    settings.KAFKA_BOOTSTRAP_SERVERS = broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def web_server(fresh_database: Database, tmp_path: Path) -> Iterator[Start]:
    """Starts `manage.py serve` on the fresh database: `web_server(REDIS_URL=…)`; ends it with the test."""
    with commands.running("serve", tmp_path, **fresh_database.env) as start:
        yield start


@pytest.fixture
def consumer_process(fresh_database: Database, tmp_path: Path) -> Iterator[Start]:
    """Starts `manage.py consume` on the fresh database: `consumer_process(**apache_kafka.env)`."""
    with commands.running("consume", tmp_path, **fresh_database.env) as start:
        yield start
