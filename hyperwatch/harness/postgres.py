"""Databases for tests: one server for the run, and as many fresh, migrated databases as tests ask for."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.tests.services.environment import ROOT, VAR_DIR, given


class Database:
    """One database, read and written as a stranger would: by SQL on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def name(self) -> str:
        return re.sub(r"^.*//[^/]*/([^?]*).*$", r"\1", self.url)

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this database."""
        return {"DATABASE_URL": self.url}

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """The rows that `sql` returns, if it returns any; committed at once."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, args or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, sql: str, *args: Any) -> Any:
        return self.query(sql, *args)[0][0]

    def beside(self, name: str) -> "Database":
        """The database called `name` on the same server."""
        return Database(re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", self.url))

    def seen_by(self, role: str) -> "Database":
        """The same database, as another role that has its own name for a password."""
        return Database(re.sub(r"//([^@/]*@)?", f"//{role}:{role}@", self.url, count=1))

    def copy(self) -> "Database":
        """A new database with all that is in this one, to which nobody may be connected."""
        name = f"fresh_{uuid.uuid4().hex[:12]}"
        self.beside("postgres").query(f'CREATE DATABASE "{name}" TEMPLATE "{self.name}"')
        return self.beside(name)

    def create(self) -> None:
        self.beside("postgres").query(f'CREATE DATABASE "{self.name}"')

    def drop(self) -> None:
        self.beside("postgres").query(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def migrate(self) -> None:
        command = [
            sys.executable,
            "manage.py",
            "init_db" if (ROOT / "hyperwatch/management/commands/init_db.py").exists() else "migrate",
        ]
        env = {**os.environ, **self.env}
        made = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, f"init_db failed:\n{made.stdout}{made.stderr}"


@contextmanager
def server() -> Iterator[Database]:
    """A database of the server that DATABASE_URL names, else of one that lives as long as the run."""
    if url := given.get("DATABASE_URL"):
        yield Database(url)
        return
    VAR_DIR.mkdir(mode=0o711, exist_ok=True)
    embedded = EmbeddedPostgres(VAR_DIR)
    try:
        database = Database(embedded.start())
        # What a power cut leaves of a test's database matters to nobody.
        database.query("ALTER SYSTEM SET fsync = off")
        database.query("SELECT pg_reload_conf()")
        yield database
    finally:
        embedded.remove()
