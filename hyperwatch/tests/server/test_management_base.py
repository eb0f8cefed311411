"""Commands that need the database, where there is none or an empty one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dj_database_url
import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection
from pytest_django.fixtures import Settings

from hyperwatch import __main__ as manage
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import send


class Ended(NamedTuple):
    code: int | str
    stdout: str
    stderr: str


Manage = Callable[..., Ended]


@pytest.fixture
def run_manage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    django_db_setup: None,
    django_db_blocker: Any,
) -> Iterator[Manage]:
    """`manage.py` in this process, on the database of a URL."""
    settings.KAFKA_BOOTSTRAP_SERVERS = f"127.0.0.1:{free_port()}"

    def run(*command: str, url: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["manage.py", *command])
        if url:
            for name, value in dj_database_url.parse(url).items():
                monkeypatch.setitem(connection.settings_dict, name, value)
        with pytest.raises(SystemExit) as ended:
            manage.main()
        out, err = capsys.readouterr()
        code = ended.value.code or 0
        # The interpreter prints a text to stderr and exits with 1.
        return Ended(1, out, err + code) if isinstance(code, str) else Ended(code, out, err)

    with django_db_blocker.unblock():
        connection.close()
        yield run
        connection.close()


def start_manage(*command: str, url: str, **given: str) -> subprocess.CompletedProcess[str]:
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
def test_command_without_database_says_what_to_do(command: tuple[str, ...], run_manage: Manage) -> None:
    answer = run_manage(*command, url=f"postgresql://user:hunter2@127.0.0.1:{free_port()}/hyperwatch")
    assert (answer.code, answer.stdout) == (1, "")
    (line,) = answer.stderr.strip().splitlines()
    assert "set DATABASE_URL, or start `make run`" in line
    assert "Connection refused" in line
    assert "hunter2" not in line


@pytest.fixture
def empty_database(fresh_database: Database) -> Iterator[Database]:
    empty = fresh_database.sibling(f"{fresh_database.name}_empty")
    empty.create()
    yield empty
    empty.drop()


def check_names_init_db(stderr: str) -> None:
    line = stderr.strip().splitlines()[-1]
    assert line.startswith(
        "CommandError: The database lacks tables or columns of this version: run `manage.py init_db`"
    )
    assert "does not exist)" in line
    assert "Traceback" not in stderr


def test_command_on_empty_database_names_init_db(empty_database: Database, run_manage: Manage) -> None:
    ended = run_manage("dead_letters", "list", url=empty_database.url)
    assert (ended.code, ended.stdout) == (1, "")
    check_names_init_db(ended.stderr)


@pytest.mark.parametrize("command", [("serve",), ("consume", "--port=0")], ids=" ".join)
def test_process_on_empty_database_names_init_db(
    command: tuple[str, ...], empty_database: Database, mock_kafka: MockKafka
) -> None:
    send([transaction()])
    ended = start_manage(*command, url=empty_database.url, **mock_kafka.env)
    assert (ended.returncode, ended.stdout) == (1, "")
    check_names_init_db(ended.stderr)


def test_serve_without_database_starts_and_reports_it(web_server: Start) -> None:
    server = web_server(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/hyperwatch")
    assert "The database cannot be reached: set DATABASE_URL" in server.output()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("consume", "--port=99999"), "--port: takes a whole number from 0 to 65535, not '99999'"),
        (("dead_letters", "list", "--limit=-1"), "--limit: takes a whole number from 1"),
    ],
)
def test_invalid_number_is_rejected_with_allowed_range(
    command: tuple[str, ...], answer: str, run_manage: Manage
) -> None:
    refused = run_manage(*command, url="")
    assert refused.code == 2
    assert answer in refused.stderr
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
def test_command_help_names_requirements_and_effects(command: str, words: list[str]) -> None:
    text = " ".join(
        load_command_class(get_commands()[command], command).create_parser("", command).format_help().split()
    )
    assert [word for word in words if word not in text] == []
