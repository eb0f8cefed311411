"""The services of a benchmark or a soak: given ones are used, missing ones are started and removed.

Data on a given server is not touched: the database and all names in Redis and Kafka are new.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from hyperwatch.harness.kafka import Kafka, kafka
from hyperwatch.harness.postgres import BenchDatabases, PostgresServer, postgres_server
from hyperwatch.harness.redis import RedisServer, redis_server


@dataclass(frozen=True, kw_only=True)
class Services:
    """`env` configures a process for them, with a new database and without the settings of `.env`."""

    folder: Path
    postgres: PostgresServer
    databases: BenchDatabases
    redis: RedisServer
    kafka: Kafka | None
    env: Mapping[str, str]

    @property
    def descriptions(self) -> dict[str, str]:
        descriptions = {"PostgreSQL": self.postgres.description, "Redis": self.redis.description}
        return {**descriptions, "Kafka": self.kafka.description} if self.kafka else descriptions


@contextmanager
def services(
    *,
    with_kafka: bool,
    postgres_cores: set[int],
    postgres_options: Mapping[str, str] | None = None,
    postgres_folder: Path | None = None,
) -> Iterator[Services]:
    """Starts the services that the settings do not name; later runs reuse the cluster in `postgres_folder`."""
    is_persistent = postgres_folder is not None
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        server = postgres_server(
            postgres_folder or folder,
            settings.DATABASE_URL,
            postgres_options,
            cores=postgres_cores,
            is_persistent=is_persistent,
        )
        postgres = stack.enter_context(server)
        redis = stack.enter_context(redis_server(folder, settings.REDIS_URL))
        broker, kafka_env = stack.enter_context(kafka(folder)) if with_kafka else (None, {})
        databases = BenchDatabases(stack, postgres.url, is_persistent=is_persistent)
        yield Services(
            folder=folder,
            postgres=postgres,
            databases=databases,
            redis=redis,
            kafka=broker,
            env={**_env(folder, databases.new(), redis.url), **kafka_env},
        )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hyperwatch-bench-") as name:
        # PostgreSQL may run under another account, which needs access to its folder inside.
        Path(name).chmod(0o711)
        yield Path(name)


def _env(folder: Path, database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": folder.name,
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "DATA_DIR": str(folder),
        "SERVER_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "ENV_FILE": os.devnull,
    }
