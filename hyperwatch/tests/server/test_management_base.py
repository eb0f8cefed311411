"""Commands that need the database, where there is none or an empty one."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.core.management import get_commands, load_command_class

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import send


def manage(*command: str, url: str, **given: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", **given}
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


@pytest.fixture
def empty_database(fresh_database: Database) -> Iterator[Database]:
    empty = fresh_database.beside(f"{fresh_database.name}_empty")
    empty.create()
    yield empty
    empty.drop()


@pytest.mark.parametrize("command", [("dead_letters", "list"), ("serve",), ("consume", "--port=0")], ids=" ".join)
def test_with_a_database_that_was_never_set_up_it_names_the_command_that_does(
    command: tuple[str, ...], empty_database: Database, mock_kafka: MockKafka
) -> None:
    send([transaction()])
    told = manage(*command, url=empty_database.url, **mock_kafka.env)
    assert (told.returncode, told.stdout) == (1, "")
    line = told.stderr.strip().splitlines()[-1]
    assert line.startswith(
        "CommandError: The database lacks tables or columns of this version: run `manage.py init_db`"
    )
    assert "does not exist)" in line
    assert "Traceback" not in told.stderr


def test_serve_starts_without_a_database_and_says_that_it_is_away(web_server: Start) -> None:
    server = web_server(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/hyperwatch")
    assert "The database cannot be reached: set DATABASE_URL" in server.output()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("consume", "--port=99999"), "--port: takes a whole number from 0 to 65535, not '99999'"),
        (("dead_letters", "list", "--limit=-1"), "--limit: takes a whole number from 1"),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_those_that_can(command: tuple[str, ...], told: str) -> None:
    refused = manage(*command, url="")
    assert refused.returncode == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("init_db", ["tables", "topics", "admin", "run at any time"]),
        ("up", ["trial", "DEMO_MARKET=0", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "DATA_DIR", "Ctrl-C"]),
        ("serve", ["REST", "WebSocket", "admin", "SERVER_HOST", "PORT", "`init_db`", "`consume`", "REDIS_URL"]),
        ("consume", ["Kafka", "database", "`init_db`", "CONSUMER_STATUS_PORT", "0 for none"]),
    ],
)
def test_a_commands_help_says_what_it_needs_and_what_comes_of_it(command: str, words: list[str]) -> None:
    text = " ".join(
        load_command_class(get_commands()[command], command).create_parser("", command).format_help().split()
    )
    assert [word for word in words if word not in text] == []
