"""Several PostgreSQL hosts in DATABASE_URL: a dead one, and a primary that becomes read-only."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.builders import OTHER_WALLET, WALLET, transaction
from realtime.tests.cluster import waits
from realtime.tests.ingest_helpers import send

PASSWORD = "a-long-admin-password"
READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
TRANSACTIONS = "SELECT (raw_data->>'tid')::int FROM transactions ORDER BY 1"


class Failover:
    """Two servers with an empty, migrated database each, and one URL with both and a dead host before them."""

    def __init__(self, stack: ExitStack) -> None:
        servers = [stack.enter_context(own_server()) for _ in range(2)]
        self.first, self.second = (Database(url) for url in servers)
        hosts = [re.sub(r".*@(.*)/.*", r"\1", url) for url in servers]
        dead = f"127.0.0.1:{free_port()}"
        self.url = f"postgres://hyperwatch@{','.join([dead, *hosts])}/hyperwatch?target_session_attrs=read-write"
        for database in (self.first, self.second):
            assert self.run("init_db", DATABASE_URL=database.url).returncode == 0

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "DATABASE_URL": self.url, "ADMIN_PASSWORD": PASSWORD, **env}
        return subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60
        )

    def demote_first(self) -> None:
        """As a switchover that leaves the connections open."""
        self.first.query(READ_ONLY)
        self.first.query("SELECT pg_reload_conf()")


class own_server:  # noqa: N801 (a context manager)
    def __enter__(self) -> str:
        self._folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
        self._folder.chmod(0o711)
        self._server = EmbeddedPostgres(self._folder)
        return self._server.start()

    def __exit__(self, *_error: object) -> None:
        self._server.remove()
        shutil.rmtree(self._folder)


@pytest.fixture
def failover() -> Iterator[Failover]:
    with ExitStack() as stack:
        yield Failover(stack)


class Admin:
    """A browser's session: cookies, and the CSRF token in each form."""

    def __init__(self, web: AppProcess) -> None:
        self._url = web.url
        self._cookies = CookieJar()
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies), NoRedirect()]
        self._opener = urllib.request.build_opener(*handlers)

    def log_in(self) -> int:
        self._open("/admin/login/")
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": self._token}
        return self._open("/admin/login/?next=/admin/", urlencode(form).encode())

    def watch(self, wallet: str) -> int:
        body = json.dumps({"wallet_address": wallet}).encode()
        headers = {"Content-Type": "application/json", "X-CSRFToken": self._token}
        return self._open("/api/v1/whales", body, headers)

    @property
    def _token(self) -> str:
        return next(str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken")

    def _open(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
        request = urllib.request.Request(f"{self._url}{path}", body, headers or {})  # noqa: S310 (http, own)
        try:
            with self._opener.open(request, timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def test_processes_wait_for_new_primary_and_use_it(
    failover: Failover, mock_kafka: MockKafka, tmp_path_factory: Folders
) -> None:
    env = {"DATABASE_URL": failover.url, "HTTP_WORKER_THREADS": "1", **mock_kafka.env}
    with (
        commands.running("serve", tmp_path_factory.mktemp("serve"), **env) as serve,
        commands.running("consume", tmp_path_factory.mktemp("consume"), **env) as consume,
    ):
        web, consumer = serve(), consume()
        # Django logs the exception of a page.
        web.allows_traceback = True
        admin = Admin(web)
        assert (admin.log_in(), admin.watch(WALLET)) == (302, 200)
        send(transaction(raw_data={"tid": tid}) for tid in range(5))
        wait_until(lambda: failover.first.query(TRANSACTIONS) == [(tid,) for tid in range(5)], "the first facts", 20)

        failover.second.query(READ_ONLY)
        failover.second.query("SELECT pg_reload_conf()")
        failover.demote_first()
        send(transaction(raw_data={"tid": tid}) for tid in range(5, 10))
        wait_until(lambda: waits(consumer) >= 2, "the consumer to wait", 20)
        assert "read-only transaction" in consumer.output()
        assert admin.watch(OTHER_WALLET) == 503
        assert admin.log_in() == 503
        check_command(failover, failover.first.url, "The database is read-only", "target_session_attrs=read-write")
        check_command(failover, failover.url, "The database cannot be reached", "Connection refused", "read-only")

        failover.second.query("ALTER SYSTEM RESET default_transaction_read_only")
        failover.second.query("SELECT pg_reload_conf()")
        wait_until(lambda: set(range(5, 10)) <= tids(failover.second), "the other facts on the new primary", 30)
        assert tids(failover.first) == set(range(5))
        assert (admin.log_in(), admin.watch(OTHER_WALLET)) == (302, 200)
        assert failover.second.query("SELECT wallet_address FROM whale_watches") == [(OTHER_WALLET,)]
        assert consumer.is_running


def tids(database: Database) -> set[int]:
    return {tid for (tid,) in database.query(TRANSACTIONS)}


def check_command(failover: Failover, url: str, *parts: str) -> None:
    """A command ends with one line."""
    ended = failover.run("init_db", DATABASE_URL=url)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.strip().splitlines()
    assert [part for part in parts if part not in line] == [], line
