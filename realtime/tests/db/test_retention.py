"""Rows older than the retention are pruned, the lowest `seq` first, and the floor rises."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from pytest_django.fixtures import Settings

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.api_client import ask, get
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest.decoder import DecodedBatch
from realtime.ingest.writer import BatchWriter
from realtime.models import DeadLetter
from realtime.storage import retention
from realtime.storage.records import StoredRows
from realtime.storage.retention import PRUNE_MARGIN, cutoffs, prune
from realtime.storage.sequences import read_positions
from realtime.streams import get_stream
from realtime.tests.builders import liquidation, liquidation_map, position_summary, ratio, stored
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, send

pytestmark = pytest.mark.django_db(transaction=True)


BEGAN = datetime.now(UTC)


def ago(days: float) -> str:
    return (BEGAN - timedelta(days=days)).isoformat()


def liquidate(*days: float) -> None:
    now = datetime.now(UTC)
    stored(*(liquidation(raw_data={"tid": n}, block_timestamp=ago(day)) for n, day in enumerate(days)), now=now)


def run(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("prune", *arguments, stdout=out, **options)
    return out.getvalue()


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def test_a_prefix_goes_and_the_floor_tells_of_it(settings: Settings) -> None:
    # The fourth is old and arrived late: it stays with the rows before it.
    liquidate(50, 40, 5, 45, 1)
    settings.STREAM_RETENTION_DAYS = {"liquidations": 30}
    assert "2 rows older than" in run(dry_run=True)
    assert count("liquidations") == 5
    assert "2 rows older than" in run()
    assert read_positions()["liquidations"] == (5, 2)
    assert [row["seq"] for row in get("/liquidations")["items"]] == [5, 3, 4]
    assert get("/liquidations/stats")["total_liquidations"] == 3
    assert "nothing to delete: the oldest seq is not older than" in run()


def test_coin_remains_after_its_latest_row_is_pruned(settings: Settings) -> None:
    stored(ratio("LATE", ago(1.2)), ratio("BTC", ago(0.1)), ratio("LATE", ago(1.3)), now=datetime.now(UTC))
    settings.STREAM_RETENTION_DAYS = {"long_short_ratios": 1}
    run()
    assert [coin["coin"] for coin in get("/coins")["coins"]] == ["BTC", "LATE"]
    seen = {row["coin"]: row["timestamp"] for row in get("/long-short-ratios/current")["ratios"]}
    assert datetime.fromisoformat(seen["LATE"]) == BEGAN - timedelta(days=1.3)


def test_coin_without_rows_is_not_listed(settings: Settings) -> None:
    now = datetime.now(UTC)
    stored(ratio("OLD", ago(2)), ratio("BTC", ago(3)), ratio("BTC", ago(0.1)), now=now)
    stored(position_summary("OLD", ago(2)), liquidation_map("OLD", ago(2)), now=now)
    settings.STREAM_RETENTION_DAYS = {"long_short_ratios": 1, "position_summaries": 1, "liquidation_map": 1}
    run()
    assert [coin["coin"] for coin in get("/coins")["coins"]] == ["BTC"]
    assert [row["coin"] for row in get("/long-short-ratios/current")["ratios"]] == ["BTC"]
    assert ask("/liquidation-map?coin=OLD", 404)
    assert (count("positions"), count("position_summaries")) == (0, 0)


def test_what_was_removed_does_not_come_back(settings: Settings) -> None:
    liquidate(50, 1)
    settings.STREAM_RETENTION_DAYS = {"liquidations": 30}
    run()
    liquidate(50, 1)
    assert count("liquidations") == 1
    assert [(letter.reason, letter.error[-26:]) for letter in DeadLetter.objects.all()] == [
        ("TOO_OLD", "older than the retention of liquidations"[-26:])
    ]


def test_expired_fact_is_rejected_before_it_is_pruned(settings: Settings) -> None:
    hour = 1 / 24
    liquidate(30 + 1.5 * hour, 30 + 0.5 * hour, 1)
    settings.STREAM_RETENTION_DAYS = {"liquidations": 30}
    assert "1 rows older than" in run()
    stored(liquidation(raw_data={"tid": 1}, block_timestamp=ago(30 + 0.5 * hour)), now=datetime.now(UTC))
    assert read_positions()["liquidations"] == (3, 1)
    assert [letter.reason for letter in DeadLetter.objects.all()] == ["TOO_OLD"]


def test_fact_pruned_while_batch_waited_is_not_stored(
    mock_kafka: MockKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STREAM_RETENTION_DAYS = {"liquidations": 30}
    liquidate(29.95)
    clock, store = [BEGAN], BatchWriter.write

    def away_for_hours(self: BatchWriter, batch: DecodedBatch, *rest: Any) -> list[StoredRows]:
        if clock[0] > BEGAN:
            return store(self, batch, *rest)
        clock[0] += timedelta(hours=3)
        assert [pruned.rows for pruned in prune(stream, cutoffs(clock[0] - PRUNE_MARGIN)[stream.name])] == [1]
        raise OperationalError("away")

    stream, answer = get_stream("liquidations"), PublishedEvents()
    monkeypatch.setattr(BatchWriter, "write", away_for_hours)
    send(liquidation(raw_data={"tid": tid}, block_timestamp=ago(days)) for tid, days in [(0, 29.95), (1, 1)])
    with ingesting(answer, now=lambda: clock[0]):
        wait_until(lambda: answer.seqs, "what is left of the batch", 30)
    assert answer.seqs == {"liquidations": [2]}
    assert read_positions()["liquidations"] == (2, 1)
    assert [letter.reason for letter in DeadLetter.objects.all()] == ["TOO_OLD"]


def test_more_than_a_batch_goes_batch_by_batch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PRUNE_BATCH_ROWS", 10)
    liquidate(*[50] * 25, 1)
    batches = [pruned.rows for pruned in prune(get_stream("liquidations"), datetime.now(UTC) - timedelta(days=30))]
    assert batches == [10, 10, 5]
    assert count("liquidations") == 1


def test_storing_goes_on_between_two_batches(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PRUNE_BATCH_ROWS", 1)
    liquidate(*[50] * 20)
    batches = prune(get_stream("liquidations"), datetime.now(UTC) - timedelta(days=30))
    next(batches)
    storing = threading.Thread(target=store_one)
    storing.start()
    storing.join(10)
    assert not storing.is_alive()
    assert 1 + sum(1 for _ in batches) == 20
    assert read_positions()["liquidations"] == (21, 20)


def store_one() -> None:
    try:
        stored(liquidation(raw_data={"tid": 99}, block_timestamp=ago(1)), now=datetime.now(UTC))
    finally:
        connection.close()


def test_what_cannot_be_pruned_is_named(settings: Settings) -> None:
    with pytest.raises(CommandError, match="set STREAM_RETENTION_DAYS"):
        run()
    settings.STREAM_RETENTION_DAYS = {"liquidations": 1}
    with pytest.raises(CommandError, match="transactions: no retention"):
        run("transactions")
