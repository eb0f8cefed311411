"""A search that no index bounds ends after its budget, with an error that names what to add."""

import json
import time
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.commands import Start

pytestmark = pytest.mark.django_db

# Every search of this view takes five seconds; OFFSET prevents that PostgreSQL moves a condition into it.
SLOW_VIEW = """
ALTER TABLE transactions RENAME TO stored_transactions;
CREATE VIEW transactions AS
SELECT t.* FROM (SELECT pg_sleep(5)) AS slow LEFT JOIN stored_transactions t ON true OFFSET 0;
"""


def ask(web: AppProcess, query: str) -> tuple[int, dict[str, Any], float]:
    began = time.monotonic()
    try:
        with urllib.request.urlopen(f"{web.url}/api/v1/{query}", timeout=20) as answer:  # noqa: S310 (http, ours)
            return answer.status, json.load(answer), time.monotonic() - began
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), time.monotonic() - began


ADVICE = {
    "tx_type=ORDER": "add coin, user_address or a time range",
    "tx_type=ORDER&cursor=": "add coin, user_address or a time range",
    "tx_type=ORDER&format=csv": "add coin, user_address or a time range",
    f"tx_type=ORDER&user_address=0x{'a' * 40}": "add coin or a time range",
    f"tx_type=ORDER&user_address=0x{'a' * 40}&end_time=2026-01-01": "add coin",
}


def test_search_beyond_budget_names_what_to_add(web_server: Start, fresh_database: Database) -> None:
    web = web_server(SEARCH_TIMEOUT_SECONDS="0.5")
    fresh_database.query(SLOW_VIEW)
    for query, advice in ADVICE.items():
        status, answer, seconds = ask(web, f"transactions?{query}")
        assert (status, answer["code"]) == (503, 503)
        assert answer["error"] == f"the search took longer than 0.5 seconds; {advice}"
        assert seconds < 3
    # The number of rows of a side is known without a search.
    for query in ("side=OPEN", "cursor=&side=OPEN", "tx_type=ORDER&side=OPEN"):
        status, answer, _ = ask(web, f"transactions?{query}")
        assert (status, answer["data"]["items"]) == (200, [])


def test_search_behind_a_lock_reports_the_database(web_server: Start, fresh_database: Database) -> None:
    web = web_server(SEARCH_TIMEOUT_SECONDS="0.5")
    with closing(psycopg2.connect(fresh_database.url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE transactions")
        status, answer, _ = ask(web, "transactions?tx_type=ORDER")
    assert (status, answer["error"]) == (503, "the database is unavailable; try again in a few seconds")
    assert ask(web, "transactions?tx_type=ORDER")[0] == 200
