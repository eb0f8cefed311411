"""Services for as long as a benchmark takes: those that the settings name, else some brought along and removed.

What is given is used and not touched: the database is one of its own beside the given one, and every name in
Redis has a prefix of its own.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from django.conf import settings

from hyperwatch.embedded import CannotStartError
from hyperwatch.embedded.postgres import EmbeddedPostgres
from realtime.bench.machine import client_cores
from realtime.bench.process import Process

Service = tuple[str, str]


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hyperwatch-bench-") as made:
        # PostgreSQL may run as another account, which has to get as far as its own folder.
        Path(made).chmod(0o711)
        yield Path(made)


@contextmanager
def postgres(var: Path) -> Iterator[Service]:
    """A migrated database: its URL, and what it is."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        url, what = settings.DATABASE_URL, "given"
        if not url:
            embedded = EmbeddedPostgres(var)
            stack.callback(embedded.remove)
            url, what = embedded.start(), f"embedded, {embedded.major}"
        _query(url, f"CREATE DATABASE {name}")
        stack.callback(_query, url, f"DROP DATABASE {name} WITH (FORCE)")
        own = re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", url)
        _migrate(own, var)
        yield own, what


@contextmanager
def redis(var: Path) -> Iterator[Service]:
    """Its URL, and what it is."""
    if settings.REDIS_URL:
        yield settings.REDIS_URL, "given"
        return
    program = shutil.which("redis-server")
    if program is None:
        raise CannotStartError("No redis-server is found on this machine: install one, or set REDIS_URL")
    port = free_port()
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(var), "--save", "", "--appendonly", "no"]
    with Process("redis-server", [program, *where], var / "redis.log", {}, client_cores()) as process:
        wait_for_port(process, port)
        yield f"redis://127.0.0.1:{port}/0", "redis-server of this machine"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: Process, port: int, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not _listens(port):
        if not process.is_alive or time.monotonic() > deadline:
            raise CannotStartError(f"{process.name} did not start. It said:\n{process.last_words()}")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _query(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)


def _migrate(url: str, var: Path) -> None:
    # A process of its own: the settings of this one name another database, or none.
    env = {**os.environ, "DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "", "VAR_DIR": str(var)}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "init_db"]
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise CannotStartError(f"The database could not be made: {made.stderr[-2000:]}")
