"""Where a fact goes in the indexes: beside the last one, so that ten million rows are as ten."""

import random
from typing import Any

import pytest
from django.db import connection

from liquidations.models import Liquidation
from realtime.streams import Stream, all_streams
from realtime.tests.builders import (
    HASH,
    liquidation,
    stored,
    transaction,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)


def query(sql: str, *args: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, args or None)
        return list(cursor.fetchall()) if cursor.description else []


def table(stream: Stream) -> str:
    return stream.model._meta.db_table


def test_every_stream_index_is_used_by_a_query() -> None:
    tables = [table(stream) for stream in all_streams()]
    defined = "SELECT tablename, substring(indexdef FROM 'USING.*') FROM pg_indexes WHERE tablename = ANY(%s)"
    found = query(defined, tables)
    assert len(found) == len(set(found)) > 20
    # Lists return the latest rows first; a descending index would fill its pages by half.
    assert [one for one in found if "pattern_ops" in one[1] or "DESC" in one[1]] == []


def test_identity_keys_ascend_with_fact_times() -> None:
    minutes = random.Random(3).sample(range(60), 60)
    stored(*(transaction(block_timestamp=f"2026-01-10T10:{minute:02}:00Z") for minute in minutes))
    times = query("SELECT block_timestamp FROM transactions ORDER BY event_key")
    assert times == sorted(times)
    assert len(times) == 60


def test_facts_of_one_second_have_distinct_keys() -> None:
    stored(*(transaction(raw_data={"tid": tid}) for tid in range(500)))
    assert query("SELECT count(DISTINCT event_key), count(DISTINCT substr(event_key, 1, 4)) FROM transactions") == [
        (500, 1)
    ]


@pytest.mark.parametrize("model", [Transaction, Liquidation])
def test_a_hash_is_found_by_the_part_that_ascends(model: Any) -> None:
    other = HASH[:-1] + "0"
    assert other[:46] == HASH[:46]
    stored(
        *(transaction(tx_hash=one, raw_data={"tid": tid}) for tid, one in enumerate((HASH, other, HASH))),
        *(liquidation(tx_hash=one, raw_data={"tid": tid}) for tid, one in enumerate((HASH, other, HASH))),
    )
    assert [fact.id for fact in model.objects.filter(tx_hash=HASH).order_by("id")] == [1, 3]
    query("SET enable_seqscan = off")
    try:
        plan = model.objects.filter(tx_hash=HASH).order_by().explain()
    finally:
        query("RESET enable_seqscan")
    assert f"{model._meta.db_table}_hash" in plan
