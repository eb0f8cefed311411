"""Commands that need the database, where there is none or an empty one."""

import os
import subprocess
import sys

import pytest

from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.waiting import free_port


def manage(*command: str, url: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    return subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "command",
    [
        ("dead_letters", "list"),
        ("dead_letters", "show", "1"),
        ("dead_letters", "send", "--all"),
        ("init_db",),
        ("migrate",),
        ("createsuperuser", "--noinput", "--username=root", "--email=root@example.com"),
    ],
    ids=" ".join,
)
def test_without_a_database_a_command_says_in_one_line_what_to_do(command: tuple[str, ...]) -> None:
    told = manage(*command, url=f"postgresql://user:hunter2@127.0.0.1:{free_port()}/hyperwatch")
    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.strip().splitlines()
    assert "set DATABASE_URL, or start `make run`" in line
    assert "Connection refused" in line
    assert "hunter2" not in line


def test_with_a_database_that_was_never_set_up_it_names_the_command_that_does(fresh_database: Database) -> None:
    empty = fresh_database.beside(f"{fresh_database.name}_empty")
    empty.create()
    try:
        told = manage("dead_letters", "list", url=empty.url)
    finally:
        empty.drop()
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.strip() == (
        "CommandError: The database lacks tables or columns of this version: run `manage.py init_db`"
    )
