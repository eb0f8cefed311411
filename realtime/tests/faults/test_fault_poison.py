"""Poison: bad messages are put aside with their reasons, few or many, and cost their neighbours nothing."""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest.decoder import DecodedBatch
from realtime.ingest.writer import BatchRejected, BatchWriter
from realtime.kafka.consumer import KafkaMessage
from realtime.models import DeadLetter, Reason
from realtime.storage.records import StoredRows
from realtime.tests.builders import message, stored, transaction
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, refusing_coin, send
from realtime.tests.websocket_client import Client, client
from transactions.models import Transaction

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

MANY = 10_000
BATCH = 2_000


@pytest.fixture
def ws(server: AppProcess) -> Iterator[Client]:
    with client(server.ws_url) as connected:
        connected.subscribe("transactions")
        yield connected


class Tried(NamedTuple):
    """A transaction: how much was to be stored in it, and whether the database refused."""

    size: int
    is_refused: bool


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Tried]:
    """The transactions that the consumer tries, in order."""
    transactions: list[Tried] = []
    store = BatchWriter.write

    def noted(self: BatchWriter, batch: DecodedBatch, *rest: Any) -> list[StoredRows]:
        size = len(batch.rejected) + sum(map(len, batch.rows.values()))
        try:
            new = store(self, batch, *rest)
        except BatchRejected:
            transactions.append(Tried(size, is_refused=True))
            raise
        transactions.append(Tried(size, is_refused=False))
        return new

    monkeypatch.setattr(BatchWriter, "write", noted)
    return transactions


def facts(tids: range, coin: str = "BTC") -> list[KafkaMessage]:
    return [transaction(raw_data={"tid": tid}, coin=coin)._replace(key=str(tid).encode()) for tid in tids]


def wait_for(consumer: threading.Thread, rows: int, letters: int, ws: Client | None = None) -> None:
    def settled() -> bool:
        assert consumer.is_alive(), "the consumer died of it"
        # A client that does not read answers no ping either.
        while ws and not ws.silent_for(0):
            pass
        return (Transaction.objects.count(), DeadLetter.objects.count()) == (rows, letters)

    wait_until(settled, f"{rows} rows and {letters} letters", 60)


def test_single_bad_messages_cost_few_transactions(mock_kafka: MockKafka, ws: Client, tried: list[Tried]) -> None:
    good = facts(range(MANY - 2))
    poison = [message(good[0].topic, b'{"tx_hash": "0x'), *facts(range(MANY, MANY + 1), coin="BAD")]
    answer = PublishedEvents()
    with ingesting(answer, batch_size=BATCH) as consumer:
        with refusing_coin("BAD"):
            send([*good[:5_000], *poison, *good[5_000:]])
            wait_for(consumer, MANY - 2, 2, ws)
        assert set(DeadLetter.objects.values_list("reason", flat=True)) == {Reason.NOT_JSON, Reason.REFUSED_BY_DATABASE}
        check_told(ws, answer, MANY - 2)

        call_command("dead_letters", "send", "--reason", "REFUSED_BY_DATABASE")
        wait_for(consumer, MANY - 1, 2, ws)
        check_told(ws, answer, MANY - 1)
    refused = [size for size, is_refused in tried if is_refused]
    assert 1 <= len(refused) <= 12, "2000, 1000, 500, … 1"
    assert sum(refused) <= 2 * BATCH + len(refused)
    assert sum(size for size, is_refused in tried if not is_refused) == MANY + 1, "each went through once"


def check_told(ws: Client, answer: PublishedEvents, count: int) -> None:
    """Every event once and in order, to the hubs and to a client."""
    wait_until(lambda: len(answer.seqs["transactions"]) == count, "the announcement")
    assert answer.seqs == {"transactions": list(range(1, count + 1))}
    ws.wait_for(count)
    assert ws.silent_for(0.3)
    assert ws.seqs("transactions") == list(range(1, count + 1))


def test_ten_thousand_bad_messages_need_no_extra_batches(
    mock_kafka: MockKafka, ws: Client, tried: list[Tried], caplog: pytest.LogCaptureFixture
) -> None:
    good, answer = facts(range(20)), PublishedEvents()
    bad = [message(good[0].topic, b"no json", key=str(number)) for number in range(MANY)]
    send([*good[:10], *bad, *good[10:]])
    with ingesting(answer, batch_size=BATCH) as consumer:
        wait_for(consumer, 20, MANY)
        check_told(ws, answer, 20)
    assert Counter(DeadLetter.objects.values_list("reason", flat=True)) == {Reason.NOT_JSON: MANY}
    assert sum(size for size, _ in tried) == MANY + 20, "each was tried once"
    lines = [record for record in caplog.records if " messages rejected (" in record.getMessage()]
    assert len(lines) <= len(tried)


def test_oversized_letter_stays_and_others_are_resent(mock_kafka: MockKafka) -> None:
    large = message(transaction().topic, b'"' + b"x" * 2_000_000 + b'"')
    with refusing_coin("BAD"):
        answer = PublishedEvents()
        with ingesting(answer) as consumer:
            send(facts(range(3), coin="BAD"))
            wait_for(consumer, 0, 3)
    stored(large)
    with ingesting(answer) as consumer:
        with pytest.raises(CommandError, match=r"did not accept 1 of 4 letters: .*too large"):
            call_command("dead_letters", "send", "--all")
        wait_for(consumer, 3, 4)
    assert [letter.reason for letter in DeadLetter.objects.filter(resent_at=None)] == [Reason.TOO_LARGE]
    assert answer.seqs == {"transactions": [1, 2, 3]}
