"""An export of many rows from a real server: in constant memory, at the client's pace, and no longer than it stays."""

import gzip
import re
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path

import psycopg2
import pytest
from rest_framework_api_key.crypto import KeyGenerator

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.websocket_client import client

COUNT = 200_000
# Ten of each moment, and the later the newer, so that the list goes down by seq.
INSERT = """
INSERT INTO liquidations (id, event_key, tx_hash, block_number, block_timestamp, user_address, coin, side,
    liquidated_size, liquidation_price, liquidation_value_usd, leverage, margin, liquidator_address)
SELECT n, decode(md5(n::text), 'hex'), '0x' || repeat(md5(n::text), 2), n,
    '2026-01-01T00:00:00Z'::timestamptz + n / 10 * interval '1 second', '0x' || repeat('a1', 20), 'BTC', 'LONG',
    0.5, 45000.5, 22500.25, 10, 2250.025, NULL
FROM generate_series(%s, %s) n"""
HEAD = "UPDATE streams SET head = %s WHERE name = 'liquidations'"
READ = "SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'liquidations'"
KEY = """
INSERT INTO rest_framework_api_key_apikey (id, created, name, revoked, prefix, hashed_key)
VALUES (%s, now(), 'reader', false, %s, %s)"""
BUSY = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
)
MEGABYTE = 2**20
# What may lie in the kernel between a server and a client that does not read, in rows.
IN_BETWEEN = 40_000
# A connection's own end, without a farewell.
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def filled(_migrated: Database) -> Iterator[Database]:
    database = _migrated.copy()
    database.query(INSERT, 1, COUNT)
    database.query(HEAD, COUNT)
    database.query("VACUUM ANALYZE liquidations")
    yield database
    database.drop()


@pytest.fixture
def database(filled: Database) -> Iterator[Database]:
    database = filled.copy()
    yield database
    database.drop()


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[AppProcess]:
    with commands.running("serve", tmp_path, **database.env) as start:
        process = start()
        # Imports and caches of the first response do not count.
        assert ask(process, "/liquidations?format=csv&end_time=2026-01-01T00:05:00Z").read().count(b"\n") == 3_000
        yield process


def ask(server: AppProcess, path: str = "/liquidations?format=csv", **headers: str) -> HTTPResponse:
    """Its answer, which is read as far as the test reads it: the client has little room of its own."""
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    connection.sock.settimeout(30)
    connection.sock.connect(("127.0.0.1", server.port))
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.request("GET", f"/api/v1{path}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def seqs(body: bytes) -> list[int]:
    first, *lines, last = body.split(b"\r\n")
    assert first.startswith(b"seq,tx_hash,")
    assert last == b""
    return [int(line.partition(b",")[0]) for line in lines]


def rss(server: AppProcess) -> int:
    """Bytes of memory that the server's process has now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def settled(database: Database) -> int:
    """How many rows were read so far, once no more are."""
    counts = [-1]

    def stands_still() -> bool:
        counts.append(int(database.value(READ)))
        return len(counts) > 10 and len(set(counts[-10:])) == 1

    wait_until(stands_still, "the reading to stop", 30, pause=0.1)
    return counts[-1]


def test_slow_export_client_gets_snapshot_in_bounded_memory(server: AppProcess, database: Database) -> None:
    before, read_before = rss(server), settled(database)
    answer = ask(server)
    body = answer.read(1_000)
    assert settled(database) - read_before < IN_BETWEEN
    assert database.value(BUSY) == 0
    database.query(INSERT, COUNT + 1, COUNT + 1_000)
    database.query(INSERT.replace("2026-01-01", "2025-06-01"), COUNT + 1_001, COUNT + 2_000)
    database.query(HEAD, COUNT + 2_000)
    most = 0
    while piece := answer.read(MEGABYTE):
        body += piece
        most = max(most, rss(server))
        time.sleep(0.02)
    assert len(body) > 40 * MEGABYTE
    assert seqs(body) == list(range(COUNT, 0, -1))
    assert answer.headers["X-Hyperwatch-Head"] == str(COUNT)
    assert most - before < 24 * MEGABYTE


def test_many_clients_that_do_not_read_cost_little(server: AppProcess, database: Database) -> None:
    before = rss(server)
    answers = [ask(server) for _ in range(20)]
    settled(database)
    assert rss(server) - before < 20 * 4 * MEGABYTE
    assert database.value(BUSY) == 0
    # No other request waits for them.
    assert len(ask(server, "/liquidations/recent?format=csv").read().splitlines()) == 21
    assert {answer.read(10) for answer in answers} == {b"seq,tx_has"}


def test_a_client_that_leaves_ends_its_export(server: AppProcess, database: Database) -> None:
    answer = ask(server)
    while settled(database) < 2 * IN_BETWEEN:
        answer.read(MEGABYTE)
    answer.close()
    left = settled(database)
    assert left < COUNT
    time.sleep(2)
    assert (database.value(READ), database.value(BUSY)) == (left, 0)


def test_failing_export_aborts_connection(server: AppProcess, database: Database) -> None:
    server.allows_traceback = True
    answer = ask(server)
    answer.read(1_000)
    settled(database)
    postgres = database.sibling("postgres")
    postgres.query(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
    postgres.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'")
    with pytest.raises((IncompleteRead, ConnectionError)):
        answer.read()
    postgres.query(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')
    # The server lives, and sees the next connection's end too.
    assert len(ask(server, "/liquidations/recent?format=csv").read().splitlines()) == 21
    assert server.is_running


def key_for(database: Database) -> str:
    """A key that counts there."""
    key, prefix, hashed = KeyGenerator().generate()
    database.query(KEY, f"{prefix}.{hashed}", prefix, hashed)
    return key


def test_locked_table_aborts_exports_and_spares_keyed_clients(database: Database, tmp_path: Path) -> None:
    key = key_for(database)
    with commands.running("serve", tmp_path, **database.env) as start:
        server = start(ALLOW_ANONYMOUS_READS="false", DATABASE_STATEMENT_TIMEOUT_SECONDS="3")
        server.allows_traceback = True
        answers = [ask(server, Authorization=f"Api-Key {key}") for _ in range(4)]
        settled(database)
        with (
            ThreadPoolExecutor(4) as crowd,
            closing(psycopg2.connect(database.url)) as other,
            other,
            other.cursor() as cursor,
        ):
            cursor.execute("LOCK TABLE liquidations IN ACCESS EXCLUSIVE MODE")
            reading = [crowd.submit(broken_off, answer) for answer in answers]
            wait_until(lambda: database.value(BUSY) == 5, "four exports to wait beside the one who locks")
            with client(f"{server.ws_url}?token={key}") as ws:
                assert ws.ask(type="ping")["type"] == "pong"
            assert not any(read.done() for read in reading)
            assert [read.result() for read in reading] == [True] * 4
        assert len(seqs(ask(server, Authorization=f"Api-Key {key}").read())) == COUNT


def broken_off(answer: HTTPResponse) -> bool:
    """Whether it ends without its end."""
    with suppress(IncompleteRead, ConnectionError):
        return not answer.read()
    return True


def test_its_connection_is_good_for_the_next_request(server: AppProcess) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    for _ in range(3):
        connection.request("GET", "/api/v1/liquidations?format=csv&end_time=2026-01-01T00:05:00Z")
        assert seqs(connection.getresponse().read()) == list(range(2_999, 0, -1))
    connection.close()


def test_it_is_compressed_on_the_way(server: AppProcess) -> None:
    answer = ask(server, **{"Accept-Encoding": "gzip"})
    packed = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 20 * MEGABYTE
    assert seqs(gzip.decompress(packed)) == list(range(COUNT, 0, -1))
