"""Requests are answered by a bounded number of connections to the database, and say so where there are none."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg2
import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.commands import Start

pytestmark = pytest.mark.django_db

THREADS = 3


def ask(web: AppProcess, path: str = "/api/v1/liquidations") -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{web.url}{path}", timeout=20) as answer:  # noqa: S310 (http, ours)
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def connections(database: Database) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND pid <> pg_backend_pid()"
    return int(database.value(query))


def test_concurrent_requests_use_bounded_connections(web_server: Start, fresh_database: Database) -> None:
    web = web_server(HTTP_WORKER_THREADS=str(THREADS))
    with ThreadPoolExecutor(40) as crowd:
        paths = (f"/api/v1/liquidations?page_size={number % 100 + 1}" for number in range(400))
        answers = list(crowd.map(lambda path: ask(web, path)[0], paths))
    assert answers == [200] * 400
    # One more is the door's.
    assert 1 <= connections(fresh_database) <= THREADS + 1
    # They last: the next ones need no new connection.
    before = fresh_database.query(f"SELECT pid FROM pg_stat_activity WHERE datname = '{fresh_database.name}'")
    assert [ask(web)[0] for _ in range(10)] == [200] * 10
    after = fresh_database.query(f"SELECT pid FROM pg_stat_activity WHERE datname = '{fresh_database.name}'")
    assert len(set(after) - set(before)) <= 1


@contextmanager
def no_connection_left(database: Database) -> Iterator[None]:
    with ExitStack() as taken:
        with suppress(psycopg2.OperationalError):
            while True:
                connection = psycopg2.connect(database.url)
                taken.callback(connection.close)
        yield


def test_exhausted_postgres_returns_503_and_recovers(web_server: Start, fresh_database: Database) -> None:
    web = web_server(HTTP_WORKER_THREADS=str(THREADS))
    with no_connection_left(fresh_database):
        status, returned = ask(web)
        assert (status, returned["code"], returned["error"]) == (
            503,
            503,
            "the database is unavailable; try again in a few seconds",
        )
    assert ask(web)[0] == 200


def test_terminated_connection_costs_at_most_one_response(web_server: Start, fresh_database: Database) -> None:
    web = web_server(HTTP_WORKER_THREADS="1")
    assert ask(web)[0] == 200
    fresh_database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{fresh_database.name}' AND pid <> pg_backend_pid()"
    )
    assert [ask(web)[0] for _ in range(5)][1:] == [200] * 4
