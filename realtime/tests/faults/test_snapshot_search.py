"""Slow searches for snapshots: other clients do not wait, and a search ends."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg2
import pytest

from hyperwatch.harness.postgres import Database
from hyperwatch.tests.faults.test_api_export import INSERT as LIQUIDATIONS
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.websocket_client import Client, client

COUNT = 300_000
# All are worth the same, but the very first.
INSERT = """
INSERT INTO transactions (id, event_key, tx_hash, block_number, block_timestamp, user_address, coin, side, tx_type,
    size, price)
SELECT n, decode(md5(n::text), 'hex'), '0x' || repeat(md5(n::text), 2), n,
    '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second', '0x' || repeat('a1', 20), 'BTC', 'LONG', 'ORDER',
    CASE n WHEN 1 THEN 1000 ELSE 1 END, 1000
FROM generate_series(1, %s) n"""
HEAD = "UPDATE streams SET head = %s WHERE name = %s"
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
RARE = {"filters": {"min_value_usd": "900000"}}
SEARCHERS = 40


@pytest.fixture(scope="module")
def filled(_migrated: Database) -> Iterator[Database]:
    database = _migrated.copy()
    database.query(INSERT, COUNT)
    database.query(HEAD, COUNT, "transactions")
    database.query(LIQUIDATIONS, 1, 10)
    database.query(HEAD, 10, "liquidations")
    database.query("VACUUM ANALYZE transactions")
    yield database
    database.drop()


@pytest.fixture
def fresh_database(filled: Database) -> Database:
    """What `web_server` serves: nothing here writes to it."""
    return filled


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    with closing(psycopg2.connect(database.url)) as other, other, other.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def found(ws: Client) -> list[int]:
    return [data["seq"] for data in ws.snapshot()["data"]]


def test_resume_does_not_wait_for_slow_search(web_server: Start, filled: Database) -> None:
    server = web_server(DATABASE_STATEMENT_TIMEOUT_SECONDS="300")
    with ExitStack() as stack:
        back, *searching = (stack.enter_context(client(server.ws_url)) for _ in range(4))
        with locked(filled, "transactions"):
            for ws in searching:
                ws.subscribe("transactions", snapshot=2)
            wait_until(lambda: filled.value(WAITING) >= 2, "a first look and a search to stand still")
            back.subscribe("liquidations", since=0)
            assert [fact["seq"] for fact in back.wait_for(10)] == list(range(1, 11))
        assert [found(ws) for ws in searching] == [[COUNT - 1, COUNT]] * len(searching)


def test_resume_does_not_wait_for_full_searches(web_server: Start, filled: Database) -> None:
    server = web_server()
    with ExitStack() as stack:
        searching = [stack.enter_context(client(server.ws_url)) for _ in range(SEARCHERS)]
        back, newest = (stack.enter_context(client(server.ws_url)) for _ in range(2))
        for ws in searching:
            ws.subscribe("transactions", snapshot=10, **RARE)
        back.subscribe("transactions", since=COUNT - 5)
        assert [fact["seq"] for fact in back.wait_for(5)] == list(range(COUNT - 4, COUNT + 1))
        newest.subscribe("transactions", snapshot=2)
        assert found(newest) == [COUNT - 1, COUNT]
        assert searching[-1].silent_for(0)
        assert [found(ws) for ws in searching] == [[1]] * SEARCHERS
    # With its last client the hub goes, and every connection of its threads.
    wait_until(lambda: filled.value(CONNECTED) == 0, "the hub's connections to be closed")


def test_locked_table_is_reported_and_others_continue(web_server: Start, filled: Database) -> None:
    server = web_server(DATABASE_STATEMENT_TIMEOUT_SECONDS="2")
    with ExitStack() as stack:
        ws, back, *others = (stack.enter_context(client(server.ws_url)) for _ in range(8))
        ws.subscribe("liquidations")
        with locked(filled, "transactions"):
            for waiting in (ws, *others):
                waiting.subscribe("transactions", snapshot=2)
            back.subscribe("liquidations", since=0)
            assert [fact["seq"] for fact in back.wait_for(10)] == list(range(1, 11))
            assert ws.silent_for(0)
            for waiting in (ws, *others):
                returned = waiting.answer()
                assert (returned["type"], returned["code"]) == ("error", "INTERNAL_ERROR")
                assert returned["message"] == (
                    "Not subscribed to transactions. "
                    "The database did not answer within 2 s; try again, or request a smaller snapshot"
                )
        assert ws.ask(type="get_subscriptions")["channels"] == ["liquidations"]
        ws.subscribe("transactions", snapshot=2)
        assert found(ws) == [COUNT - 1, COUNT]
