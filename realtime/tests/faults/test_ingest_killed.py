"""Killed and concurrent consumers, as processes: the database equals the messages."""

import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import KafkaBroker, MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest.failpoints import STEPS
from realtime.kafka.bulk_producer import topic_names
from realtime.kafka.producer import KafkaProducer
from realtime.sources.simulator import MarketSimulator, OutgoingMessage
from realtime.tests.expected_rows import Truth, assert_database_holds, is_complete, market
from realtime.tests.ingest_helpers import health
from realtime.tests.websocket_client import client, metric

EVENTS = ("liquidations", "transactions", "whale_activities")


def watch(database: Database, simulated: MarketSimulator) -> list[str]:
    """Puts the market's whales on the watch list and returns their addresses."""
    for address, alias in simulated.whales:
        database.query(
            "INSERT INTO whale_watches (wallet_address, alias, description, is_active, created_at, updated_at) "
            "VALUES (%s, %s, '', true, now(), now())",
            address,
            alias,
        )
    return [address for address, _ in simulated.whales]


def send(messages: Sequence[OutgoingMessage], rng: random.Random | None = None) -> None:
    """Sends by the market's keys, or each to any partition."""
    producer, names = KafkaProducer(), topic_names()
    for message in messages:
        producer.send(names[message.topic], str(rng.random()) if rng else message.key, message.value)
    assert producer.flush() == 0
    assert producer.failures == []


def test_consumer_killed_repeatedly_loses_and_repeats_nothing(
    apache_kafka: KafkaBroker,
    redis_server: RedisServer,
    fresh_database: Database,
    web_server: Start,
    consumer_process: Start,
) -> None:
    rng = random.Random(20260110)
    simulated, messages = market(seed=7, count=3_000)
    truth = Truth(messages, watch(fresh_database, simulated))
    assert min(truth.counts.values()) >= 5
    env = {**redis_server.env, **apache_kafka.env, "KAFKA_MAX_BATCH_MESSAGES": "40", "KAFKA_SESSION_TIMEOUT_MS": "1000"}
    with client(web_server(**redis_server.env).ws_url) as listener:
        listener.subscribe(*EVENTS)
        send(messages)
        # The worst places are passed one by one in test_fault_consumer.py.
        for step in rng.sample(STEPS, 3):
            doomed = consumer_process(answering=False, INGEST_KILL_AT=f"{step}:{rng.randint(1, 6)}", **env)
            assert doomed.wait(30) == -signal.SIGKILL, step
        assert not is_complete(fresh_database, truth)
        consumer_process(**env)
        wait_until(lambda: is_complete(fresh_database, truth), "everything to be stored", 30)
        listener.wait_for(sum(truth.counts[name] for name in EVENTS))
        assert listener.silent_for(0.5)
    for name in EVENTS:
        assert listener.seqs(name) == list(range(1, truth.counts[name] + 1)), name
    assert_database_holds(fresh_database, truth)


@contextmanager
def polling(database: Database, tables: Sequence[str]) -> Iterator[dict[str, list[int]]]:
    """Polls each table for rows after the last one, on a connection of its own."""
    seen: dict[str, list[int]] = {table: [] for table in tables}
    done = threading.Event()
    connection = psycopg2.connect(database.url)
    connection.autocommit = True

    def poll() -> None:
        with connection.cursor() as cursor:
            for table, ids in seen.items():
                cursor.execute(f"SELECT id FROM {table} WHERE id > %s ORDER BY id", [ids[-1] if ids else 0])
                ids += [seq for (seq,) in cursor.fetchall()]

    def run() -> None:
        while not done.wait(0.001):
            poll()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        poll()
        connection.close()


def test_two_consumers_of_repeated_input_store_once(
    mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start
) -> None:
    rng = random.Random(42)
    simulated, messages = market(seed=2, count=1_500)
    truth = Truth(messages, watch(fresh_database, simulated))
    again = rng.sample(messages * 3, len(messages) * 3)
    consumers = [consumer_process(**mock_kafka.env, KAFKA_MAX_BATCH_MESSAGES="25") for _ in range(2)]
    wait_until(lambda: all(health(consumer)["assigned"] for consumer in consumers), "both to have a share", 20)
    with polling(fresh_database, [*EVENTS, "long_short_ratios"]) as seen:
        send(again, rng)
        wait_until(lambda: processed(consumers) >= len(again), "everything to be read", 60)
    assert_database_holds(fresh_database, truth)
    assert seen == {name: list(range(1, truth.counts[name] + 1)) for name in seen}
    assert all(metric(consumer, "hyperwatch_ingest_rows_stored_total") > 0 for consumer in consumers)


def processed(consumers: Sequence[AppProcess]) -> int:
    return sum(metric(consumer, "hyperwatch_ingest_batch_size_messages_sum") for consumer in consumers)
