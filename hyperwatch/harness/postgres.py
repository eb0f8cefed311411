"""PostgreSQL for tests, benchmarks and soaks: the embedded server or the given one, and databases on it."""

import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2  # type: ignore[import-untyped, unused-ignore]

from hyperwatch.embedded import CannotStartError
from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.app_process import manage
from hyperwatch.harness.host import on_cores

# The options of docker-compose.yml, explained there.
COMPOSE_OPTIONS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}


class PostgresServer(NamedTuple):
    """`embedded` is None for a given server."""

    url: str
    description: str
    embedded: EmbeddedPostgres | None = None


@contextmanager
def postgres_server(
    folder: Path,
    given_url: str,
    options: Mapping[str, str] | None = None,
    *,
    cores: set[int] | None = None,
    is_persistent: bool = False,
) -> Iterator[PostgresServer]:
    """The server of `given_url`, else one in `folder`; its data is removed at the end unless `is_persistent`."""
    if given_url:
        yield PostgresServer(given_url, "given")
        return
    embedded = EmbeddedPostgres(folder, options)
    try:
        with on_cores(cores):
            url = embedded.start()
        facts = [f"embedded, {embedded.major}", *(f"{name}={value}" for name, value in (options or {}).items())]
        yield PostgresServer(url, ", ".join(facts), embedded)
    finally:
        embedded.stop() if is_persistent else embedded.remove()


class Database:
    """One database. Each query uses a new connection in autocommit mode."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def name(self) -> str:
        return re.sub(r"^.*//[^/]*/([^?]*).*$", r"\1", self.url)

    @property
    def env(self) -> dict[str, str]:
        """Environment of a process that uses this database."""
        return {"DATABASE_URL": self.url}

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """The rows that `sql` returns, if any."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, args or None)
                return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, *args: Any) -> Any:
        return self.query(sql, *args)[0][0]

    def sibling(self, name: str) -> "Database":
        """The database called `name` on the same server."""
        return Database(re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", self.url))

    def as_role(self, role: str) -> "Database":
        """The same database for another role, whose password is its name."""
        return Database(re.sub(r"//([^@/]*@)?", f"//{role}:{role}@", self.url, count=1))

    def exists(self) -> bool:
        return bool(self._server.query("SELECT 1 FROM pg_database WHERE datname = %s", self.name))

    def create(self, template: str = "template1", strategy: str = "wal_log") -> None:
        self._server.query(f'CREATE DATABASE "{self.name}" TEMPLATE "{template}" STRATEGY {strategy}')

    def copy(self) -> "Database":
        """A new database with the rows of this one, which must have no open session."""
        database = self.sibling(f"fresh_{uuid.uuid4().hex[:12]}")
        database.create(template=self.name)
        return database

    def drop(self) -> None:
        self._server.query(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def migrate(self) -> None:
        """Runs `init_db` without Kafka; raises CannotStartError."""
        # A new DATA_DIR: in the default one a running `up` may publish the address of its broker.
        with tempfile.TemporaryDirectory() as var:
            env = {**os.environ, **self.env, "KAFKA_BOOTSTRAP_SERVERS": "", "DATA_DIR": var}
            command = [sys.executable, *manage("init_db")]
            run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
        if run.returncode:
            raise CannotStartError(f"init_db failed on {self.name}:\n{run.stdout}{run.stderr[-2000:]}")

    @property
    def _server(self) -> "Database":
        return self.sibling("postgres")


class BenchDatabases:
    """Migrated databases on the server of `url`, dropped by `stack`; named ones stay if `is_persistent`."""

    def __init__(self, stack: ExitStack, url: str, *, is_persistent: bool) -> None:
        self._stack = stack
        self._given = Database(url)
        self._is_persistent = is_persistent
        self._urls: dict[str, str] = {}

    def new(self) -> str:
        """The URL of a new database."""
        return self._create(f"bench_{uuid.uuid4().hex[:12]}")

    def named(self, name: str) -> str:
        """The database of that name; a persistent one is reused by later runs."""
        if name not in self._urls:
            self._urls[name] = self._persistent(name) if self._is_persistent else self.new()
        return self._urls[name]

    def writable(self, name: str) -> str:
        """The database of that name, or a copy of a persistent one."""
        if not self._is_persistent:
            return self.named(name)
        copy = f"{name}_changed"
        # A killed run leaves its copy behind.
        self._given.sibling(copy).drop()
        return self._create(copy, template=name, strategy="file_copy")

    def _persistent(self, name: str) -> str:
        database = self._given.sibling(name)
        if not database.exists():
            database.create()
        database.migrate()
        return database.url

    def _create(self, name: str, **options: str) -> str:
        database = self._given.sibling(name)
        database.create(**options)
        self._stack.callback(database.drop)
        database.migrate()
        return database.url
