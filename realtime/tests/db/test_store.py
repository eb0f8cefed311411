"""Guarantees of the store: once, in order, without gaps, with concurrent writers."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connection
from prometheus_client import REGISTRY

from realtime.delivery.backfill import read_events
from realtime.ingest.decoder import decode_batch
from realtime.ingest.writer import BatchRejected, BatchWriter
from realtime.kafka.consumer import KafkaMessage
from realtime.models import DeadLetter, NewestOfCoin, StreamHead
from realtime.protocol.frames import make_event
from realtime.storage.records import StoredRows
from realtime.storage.sequences import read_positions
from realtime.streams import all_streams, channels, watch_wallets
from realtime.tests.builders import (
    NOW,
    OTHER_WALLET,
    WALLET,
    level,
    liquidation,
    liquidation_map,
    message,
    position_summary,
    ratio,
    stored,
    transaction,
)
from realtime.tests.invalid_messages import BARE, bare
from transactions.models import Transaction
from whales.models import WhaleActivity, WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

Work = Callable[[], None]


def ids(table: str, after: int = 0) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} WHERE id > %s ORDER BY id", [after])
        return [seq for (seq,) in cursor.fetchall()]


def tables() -> dict[str, str]:
    return {stream.name: stream.model._meta.db_table for stream in all_streams()}


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"hyperwatch_{metric}_total", labels) or 0


def assert_numbers_have_no_holes() -> None:
    heads = {name: place.head for name, place in read_positions().items()}
    assert {name: ids(table) for name, table in tables().items()} == {
        name: list(range(1, head + 1)) for name, head in heads.items()
    }


# ---- several at once ----


def on_own_connection(work: Work) -> None:
    try:
        work()
    finally:
        connection.close()


class Reader:
    """Polls a table for rows after the last one, as a REST client would."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.seen: list[int] = []

    def poll(self) -> None:
        self.seen += ids(self.table, after=self.seen[-1] if self.seen else 0)


@contextmanager
def readers(*names: str) -> Iterator[list[Reader]]:
    """Poll all the time meanwhile, and once more afterwards."""
    polling = [Reader(name) for name in names]
    done = threading.Event()

    def poll() -> None:
        while not done.wait(0.002):
            for reader in polling:
                reader.poll()

    thread = threading.Thread(target=on_own_connection, args=(poll,))
    thread.start()
    try:
        yield polling
    finally:
        done.set()
        thread.join()
    for reader in polling:
        reader.poll()


def facts(count: int) -> list[KafkaMessage]:
    """Facts of every stream; every third transaction is a liquidation, half of them are a whale's."""
    made = []
    for number in range(count):
        wallet = (WALLET, OTHER_WALLET)[number % 2]
        kind = "LIQUIDATION" if number % 3 == 0 else "ORDER"
        raw = {"tid": number, "dir": "Open Long"}
        made.append(transaction(raw_data=raw, user_address=wallet, tx_type=kind, coin=f"C{number % 5}"))
        if number % 4 == 0:
            time = f"2026-01-10T10:{number // 60 % 60:02}:{number % 60:02}Z"
            made += [ratio(timestamp=time), liquidation_map(timestamp=time), position_summary(timestamp=time)]
    return made


def overlapping(messages: list[KafkaMessage], seed: int) -> list[list[KafkaMessage]]:
    """All of `messages`, some of them several times, shuffled, in batches of uneven size."""
    rng = random.Random(seed)
    again = messages + rng.sample(messages, len(messages) // 2)
    rng.shuffle(again)
    batches = []
    while again:
        size = rng.choice((1, 2, 7, 40))
        batches.append(again[:size])
        again = again[size:]
    return batches


@pytest.mark.parametrize("seed", [1, 2])
def test_concurrent_stores_leave_no_gap_and_no_duplicate(seed: int) -> None:
    WhaleWatch.objects.create(wallet_address=WALLET, alias="whale")
    messages, answer = facts(240), list[StoredRows]()

    def work(number: int) -> Work:
        def run() -> None:
            store = BatchWriter()
            for batch in overlapping(messages, seed * 100 + number):
                answer.extend(store.write(decode_batch(batch, NOW)))

        return lambda: on_own_connection(run)

    with (
        readers("transactions", "liquidations", "whale_activities", "long_short_ratios") as polling,
        ThreadPoolExecutor(4) as pool,
    ):
        for done in [pool.submit(work(number)) for number in range(4)]:
            done.result()
    expected = {
        "liquidation_map": 60,
        "liquidations": 80,
        "long_short_ratios": 60,
        "position_summaries": 60,
        "transactions": 240,
        # Half of the 80 liquidations and of the 160 orders are the whale's; the liquidated orders tell nothing.
        "whale_activities": 40 + 80,
    }
    assert {name: place.head for name, place in read_positions().items()} == expected
    assert_numbers_have_no_holes()
    assert {reader.table: reader.seen for reader in polling} == {reader.table: ids(reader.table) for reader in polling}
    seqs = {name: sorted(row.seq for new in answer if new.stream.name == name for row in new.rows) for name in expected}
    assert seqs == {name: list(range(1, count + 1)) for name, count in expected.items()}


def test_concurrent_equal_dead_letters_are_stored_once() -> None:
    letters = [message("hyperliquid.transactions", b"x") for _ in range(30)]

    def run() -> None:
        BatchWriter().write(decode_batch(random.Random(threading.get_ident()).sample(letters, 30), NOW))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(on_own_connection, run) for _ in range(8)]:
            done.result()
    assert DeadLetter.objects.count() == 30


# ---- one batch ----


def test_numbers_follow_the_order_in_which_messages_came() -> None:
    tids = [5, 3, 9, 1]
    (new,) = stored(*[transaction(raw_data={"tid": tid}) for tid in tids])
    assert [json.loads(bytes(row.raw_data))["tid"] for row in new.rows] == tids  # type: ignore[attr-defined]
    assert [row.seq for row in new.rows] == [1, 2, 3, 4]


def test_known_fact_is_not_published_or_numbered() -> None:
    first = transaction(raw_data={"tid": 1})
    stored(first)
    known = counted("ingest_duplicates", stream="transactions")
    assert stored(first, first, first) == []
    (new,) = stored(first, transaction(raw_data={"tid": 2}), first)
    assert [row.seq for row in new.rows] == [2]
    assert counted("ingest_duplicates", stream="transactions") == known + 2
    assert_numbers_have_no_holes()


def test_batch_without_facts_stores_no_fact() -> None:
    assert stored() == []
    assert stored(message("hyperliquid.transactions", b"x")) == []
    assert DeadLetter.objects.count() == 1
    assert all(place.head == 0 for place in read_positions().values())


@pytest.mark.parametrize("combined", [True, False])
def test_conflicting_fact_is_counted_logged_and_ignored(combined: bool, caplog: pytest.LogCaptureFixture) -> None:
    first, second = transaction(price="45000"), transaction(price="46000")
    before = counted("ingest_conflicts", stream="transactions")
    stored(first, second) if combined else (stored(first), stored(second))
    assert [row.price for row in Transaction.objects.all()] == [45000]
    assert counted("ingest_conflicts", stream="transactions") == before + 1
    assert "conflicts with" in caplog.text


def test_conflicting_ratios_are_logged_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = [f"2026-01-10T10:{minute:02}:00Z" for minute in range(30)]
    stored(*(ratio(timestamp=time) for time in times))
    stored(*(ratio(timestamp=time, long_ratio="0.61", short_ratio="0.39") for time in times))
    (line,) = [record.getMessage() for record in caplog.records if "conflicts with" in record.getMessage()]
    assert line.startswith("long_short_ratios: 30 conflicts with stored facts, not applied;")
    assert '"timestamp":"2026-01-10T10:00:00Z","long_ratio":0.6100,"short_ratio":0.3900' in line


@pytest.mark.parametrize("combined", [True, False])
def test_conflicting_summary_is_counted_and_ignored(combined: bool) -> None:
    first, second = position_summary(), position_summary(positions=[])
    before = counted("ingest_conflicts", stream="position_summaries")
    stored(first, second) if combined else (stored(first), stored(second))
    assert counted("ingest_conflicts", stream="position_summaries") == before + 1


def test_equal_fact_in_other_notation_is_known() -> None:
    before = counted("ingest_conflicts", stream="transactions")
    stored(transaction(price="45000.5", raw_data={"tid": 1}))
    raised = {"price": 45000.50, "user_address": WALLET.upper().replace("X", "x"), "raw_data": {"tid": 1}}
    assert stored(transaction(**raised, block_timestamp="2026-01-10T11:30:00+01:00")) == []
    assert counted("ingest_conflicts", stream="transactions") == before


def test_latest_of_coin_is_by_time_not_seq() -> None:
    stored(ratio(timestamp="2026-01-10T10:00:00Z"))
    stored(ratio(timestamp="2026-01-10T10:02:00Z"), ratio(timestamp="2026-01-10T10:01:00Z"))
    stored(ratio(timestamp="2026-01-10T09:00:00Z"), ratio(coin="ETH"))
    newest = NewestOfCoin.objects.filter(stream="long_short_ratios").order_by("coin")
    assert [(row.coin, row.time.minute, row.seq) for row in newest] == [("BTC", 2, 2), ("ETH", 30, 5)]


# ---- what the database refuses ----


@contextmanager
def refusing(condition: str) -> Iterator[None]:
    """The database takes no transaction of which `condition` is not true."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE transactions ADD CONSTRAINT for_a_test CHECK ({condition})")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE transactions DROP CONSTRAINT for_a_test")


def test_rejected_batch_is_rolled_back_and_next_stored() -> None:
    store = BatchWriter()
    bad = [transaction(coin="BAD"), ratio(), message("hyperliquid.transactions", b"x")]
    with refusing("coin <> 'BAD'"), pytest.raises(BatchRejected, match="for_a_test"):
        store.write(decode_batch(bad, NOW))
    assert all(place.head == 0 for place in read_positions().values())
    assert not DeadLetter.objects.exists()
    assert len(store.write(decode_batch(bad, NOW))) == 2
    assert_numbers_have_no_holes()


def test_taken_seq_raises_error_and_is_no_rejection() -> None:
    stored(transaction(raw_data={"tid": 1}))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE streams SET head = 0 WHERE name = 'transactions'")
    with pytest.raises(IntegrityError, match="transactions_pkey"):
        stored(transaction(raw_data={"tid": 2}))
    assert Transaction.objects.count() == 1


# ---- return values ----


def test_frame_from_row_equals_published_frame() -> None:
    WhaleWatch.objects.create(wallet_address=WALLET, alias='tab\t "quote" \\ \n línea 鯨')
    odd = '{ "dir":"Open Long" ,\n\t"b" : [1.0,1e400, {}], "a":"\\u0000\\\\ ü é\\n", "tid":7 , "b":1E-2}'.encode()
    tiny, time = "0.00000001", "2026-01-10T10:30:00.000001Z"
    published = stored(
        bare(odd, transaction, raw_data=BARE, size=tiny, price=tiny, fee="-" + tiny, block_timestamp=time),
        transaction(leverage=None, margin=None, fee=None, raw_data=None, block_number=0, size="123456789.12345678"),
        bare(odd, liquidation, raw_data=BARE, liquidated_size=tiny, block_timestamp="2026-01-10T10:30:00.5+02:00"),
        liquidation(raw_data=..., liquidator_address=None, leverage=None, margin=None, liquidation_value_usd=...),
        ratio(long_ratio=1, short_ratio=0, long_position_value=0, timestamp=time),
        ratio(long_ratio="0.33333", short_ratio="0.66667", timestamp=time, coin="xyz:NVDA"),
        liquidation_map(levels=[level("46000.5"), level(1e-8), level("9e3")], timestamp=time, coin="@107"),
        liquidation_map(levels=[]),
        position_summary(),
    )
    frames = {new.stream.name: [make_event(new.stream, row) for row in new.rows] for new in published}
    assert {name: len(events) for name, events in frames.items()} == {
        "transactions": 2,
        "liquidations": 2,
        "long_short_ratios": 2,
        "liquidation_map": 2,
        "position_summaries": 1,
        "whale_activities": 4,
    }
    for name, stream in channels().items():
        assert read_events(stream, 0, 10) == frames[name]
    assert odd in frames["transactions"][0].frame
    assert b'"size":"123456789.12345678"' in frames["transactions"][1].frame
    assert odd not in frames["liquidations"][0].frame


def test_the_store_goes_on_over_another_connection() -> None:
    store = BatchWriter()
    store.write(decode_batch([transaction(raw_data={"tid": 1})], NOW))
    connection.close()
    (new,) = store.write(decode_batch([transaction(raw_data={"tid": 2})], NOW))
    assert [row.seq for row in new.rows] == [2]


def test_a_commit_that_never_came_leaves_nothing_behind() -> None:
    def broken_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr("realtime.ingest.writer.failpoint", broken_off)
        stored(transaction())
    assert stored(transaction())[0].rows[0].seq == 1
    assert WhaleActivity.objects.count() == 0


def test_letter_with_invalid_timestamp_is_stored_without_it() -> None:
    stored(message("hyperliquid.transactions", b"no json", timestamp_ms=1_768_000_000_000_000))
    assert DeadLetter.objects.get().sent_at is None


def test_stream_without_head_row_gets_one() -> None:
    StreamHead.objects.filter(name="liquidations").delete()
    connection.close()
    assert [len(new.rows) for new in stored(liquidation())] == [1]
    assert StreamHead.objects.get(name="liquidations").head == 1


def test_activity_beyond_its_retention_is_not_stored(settings: Any) -> None:
    watch_wallets([(WALLET, "whale")])
    settings.STREAM_RETENTION_DAYS = {"whale_activities": 1}
    names = {new.stream.name for new in stored(transaction(block_timestamp="2026-01-09T11:59:59Z"))}
    assert names == {"transactions"}
    assert "whale_activities" in {
        new.stream.name for new in stored(transaction(raw_data={"tid": 2, "dir": "Open Long"}))
    }
