"""Services for as long as a benchmark or a soak takes: those that the settings name, else some brought and removed.

What is given is used and not touched: the database is one of its own beside the given one, and every name in
Redis has a prefix of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from django.conf import settings

from hyperwatch.embedded import CannotStartError
from hyperwatch.embedded.kafka import EmbeddedKafka
from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness import apache_kafka
from hyperwatch.harness.host import client_cores, on_cores
from hyperwatch.harness.process import Process, free_port
from realtime.kafka import create_topics, delete_topics, topics

GIVEN = "given"
# What compose gives its PostgreSQL, and says why.
AS_COMPOSE = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
Part = TypeVar("Part")


class Service(NamedTuple, Generic[Part]):
    """Where it answers, what it is for the reader, and itself where it was brought along."""

    address: str
    what: str
    brought: Part | None = None


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hyperwatch-bench-") as made:
        # PostgreSQL may run as another account, which has to get as far as its own folder.
        Path(made).chmod(0o711)
        yield Path(made)


@contextmanager
def cluster(
    var: Path, cores: set[int], options: Mapping[str, str] | None = None, keep: Path | None = None
) -> Iterator[Service[EmbeddedPostgres]]:
    """A PostgreSQL, with its URL. One that is brought along runs on `cores`, with `options`, in `keep` if it stays."""
    if settings.DATABASE_URL:
        yield Service(settings.DATABASE_URL, GIVEN)
        return
    embedded = EmbeddedPostgres(keep or var, options)
    with ExitStack() as stack:
        stack.callback(embedded.stop if keep else embedded.remove)
        with on_cores(cores):
            url = embedded.start()
        what = [f"embedded, {embedded.major}", *(f"{name}={value}" for name, value in (options or {}).items())]
        yield Service(url, ", ".join(what), embedded)


class Databases:
    """Migrated databases beside the one of `url`, for as long as `stack` lasts; those with a name may be kept."""

    def __init__(self, stack: ExitStack, url: str, var: Path, *, is_kept: bool) -> None:
        self._stack = stack
        self._url = url
        self._var = var
        self._is_kept = is_kept
        self._urls: dict[str, str] = {}

    def own(self) -> str:
        """The URL of a new one."""
        return self._made(f"bench_{uuid.uuid4().hex[:12]}")

    def named(self, name: str) -> str:
        """One that is kept is found again, by another run too."""
        if name not in self._urls:
            self._urls[name] = self._kept(name) if self._is_kept else self.own()
        return self._urls[name]

    def to_change(self, name: str) -> str:
        """The one of that name, or where it is kept a copy."""
        if not self._is_kept:
            return self.named(name)
        copy = f"{name}_changed"
        # A run that was killed left it.
        _query(self._url, f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")
        return self._made(copy, f"TEMPLATE {name} STRATEGY file_copy")

    def _kept(self, name: str) -> str:
        if not _query(self._url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            _query(self._url, f"CREATE DATABASE {name}")
        return self._migrated(name)

    def _made(self, name: str, how: str = "") -> str:
        _query(self._url, f"CREATE DATABASE {name} {how}")
        self._stack.callback(_query, self._url, f"DROP DATABASE {name} WITH (FORCE)")
        return self._migrated(name)

    def _migrated(self, name: str) -> str:
        _migrate(self._where(name), self._var)
        return self._where(name)

    def _where(self, name: str) -> str:
        return re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", self._url)


@contextmanager
def redis(var: Path) -> Iterator[Service[Process]]:
    """With its URL."""
    if settings.REDIS_URL:
        yield Service(settings.REDIS_URL, GIVEN)
        return
    program = shutil.which("redis-server")
    if program is None:
        raise CannotStartError("No redis-server is found on this machine: install one, or set REDIS_URL")
    port = free_port()
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(var), "--save", "", "--appendonly", "no"]
    with Process("redis-server", [program, *where], var / "redis.log", {}, client_cores()) as process:
        process.wait_for_port(port)
        yield Service(f"redis://127.0.0.1:{port}/0", "redis-server of this machine", process)


@contextmanager
def kafka(var: Path) -> Iterator[Service[Process | EmbeddedKafka]]:
    """With its address; in the settings, with topics and a group of its own."""
    settings.KAFKA_TOPIC_TRANSACTIONS = f"{var.name}.transactions"
    settings.KAFKA_TOPIC_COMPUTED_DATA = f"{var.name}.computed_data"
    settings.KAFKA_GROUP_ID = var.name
    with _broker(var) as service:
        settings.KAFKA_BOOTSTRAP_SERVERS = service.address
        create_topics()
        try:
            yield service
        finally:
            if service.what == GIVEN:
                delete_topics()


def kafka_env() -> dict[str, str]:
    """Makes another process use the Kafka that `kafka` brought."""
    names = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_TRANSACTIONS", "KAFKA_TOPIC_COMPUTED_DATA", "KAFKA_GROUP_ID")
    return {name: getattr(settings, name) for name in names}


def env(folder: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """Makes a process use what was brought, in `folder`, and nothing that a developer's own settings say."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": folder.name,
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "VAR_DIR": str(folder),
        "SERVER_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "ENV_FILE": os.devnull,
    }


@contextmanager
def _broker(var: Path) -> Iterator[Service[Process | EmbeddedKafka]]:
    # The setting also holds the address of an embedded broker that another process runs.
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Service(given, GIVEN)
    elif (jars := apache_kafka.jars()) and apache_kafka.available():
        port = free_port()
        apache_kafka.prepare(jars, var, port, free_port())
        with Process("kafka", apache_kafka.command(jars, var), var / "kafka.log", {}, client_cores()) as process:
            process.wait_for_port(port)
            yield Service(f"127.0.0.1:{port}", f"Apache Kafka {apache_kafka.VERSION}, one broker", process)
    else:
        embedded = EmbeddedKafka(var, [(topic.name, topic.partitions) for topic in topics()])
        with embedded as address:
            yield Service(address, "embedded (librdkafka's mock cluster): no disk, no java", embedded)


def _query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def _migrate(url: str, var: Path) -> None:
    # A process of its own: the settings of this one name another database, or none. And a folder of its own, where it
    # finds no Kafka that was brought along.
    env = {**os.environ, "DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "", "VAR_DIR": str(var / "init_db")}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "init_db"]
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise CannotStartError(f"The database could not be made: {made.stderr[-2000:]}")
