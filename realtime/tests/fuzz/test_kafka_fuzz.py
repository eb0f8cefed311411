"""Every Kafka message is stored or becomes a dead letter, and the consumer continues.

Messages of every kind are changed here and there, as values and as bytes, and go the whole way: a topic, a consumer's
process, the database.
"""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.kafka import MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until
from realtime.kafka.consumer import KafkaMessage
from realtime.tests import builders
from realtime.tests.ingest_helpers import health, send
from realtime.tests.mutants import Change, byte_changes, field_changes, values, with_other_bytes, with_other_fields

# The same ones in each run: what counts here is that all of them are accounted for.
GENERATED = settings(
    max_examples=12,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)

BUILD: list[Callable[[str], KafkaMessage]] = [
    lambda time: builders.transaction(block_timestamp=time),
    lambda time: builders.transaction(block_timestamp=time, tx_type="LIQUIDATION"),
    lambda time: builders.liquidation(block_timestamp=time),
    lambda time: builders.ratio(timestamp=time),
    lambda time: builders.liquidation_map(timestamp=time),
    lambda time: builders.position_summary(timestamp=time),
]


class Recipe(NamedTuple):
    build: Callable[[str], KafkaMessage]
    of_fields: list[Change]
    of_bytes: list[Change]
    key: bytes


recipes = some.builds(
    Recipe,
    some.sampled_from(BUILD),
    some.lists(field_changes, max_size=2),
    some.just([]) | some.just([]) | some.lists(byte_changes, max_size=3),
    some.binary(max_size=8),
)
wholes = some.none() | some.binary(max_size=50) | values.map(lambda value: json.dumps(value).encode())


def changed(recipe: Recipe, number: int) -> KafkaMessage:
    # Each of a moment of its own: that is what no two are the same fact by.
    time = datetime(2026, 1, 10, tzinfo=UTC) + timedelta(milliseconds=number)
    message = recipe.build(time.isoformat().replace("+00:00", "Z"))
    raw = with_other_fields(message.value or b"", recipe.of_fields)
    return message._replace(key=recipe.key, value=with_other_bytes(raw, recipe.of_bytes))


# One message of a liquidation is a transaction, too.
ACCOUNTED = """
SELECT (SELECT count(*) FROM dead_letters) + (SELECT count(*) FROM transactions) + (SELECT count(*) FROM liquidations)
  - (SELECT count(*) FROM transactions WHERE tx_type = 'LIQUIDATION') + (SELECT count(*) FROM long_short_ratios)
  + (SELECT count(*) FROM liquidation_map) + (SELECT count(*) FROM position_summaries)"""
WATCH = """
INSERT INTO whale_watches (wallet_address, alias, description, is_active, created_at, updated_at)
VALUES (%s, '', '', true, now(), now())"""


@pytest.fixture
def consumer(mock_kafka: MockKafka, fresh_database: Database, consumer_process: Start) -> AppProcess:
    fresh_database.query(WATCH, builders.WALLET)
    return consumer_process(**mock_kafka.env)


def test_mutated_message_is_stored_or_dead_letter(consumer: AppProcess, fresh_database: Database) -> None:
    numbers = itertools.count()
    sent: list[KafkaMessage] = []

    @GENERATED
    @given(some.lists(recipes, min_size=30, max_size=60), some.lists(wholes, max_size=10))
    def feed(mutants: list[Recipe], others: list[bytes | None]) -> None:
        messages = [changed(recipe, next(numbers)) for recipe in mutants]
        topics = itertools.cycle({message.topic for message in messages})
        messages += [builders.message(next(topics), value) for value in others]
        send(messages)
        sent.extend(messages)
        wait_until(lambda: fresh_database.value(ACCOUNTED) >= len(sent), f"{len(sent)} messages", 30, 0.1)
        assert fresh_database.value(ACCOUNTED) == len(sent)

    feed()
    assert health(consumer)["status"] == "healthy"
    refused = fresh_database.query("SELECT bytes FROM dead_letters")
    assert {bytes(raw or b"") for (raw,) in refused} <= {message.value or b"" for message in sent}
    assert len(sent) > 500
    assert min(len(refused), len(sent) - len(refused)) > 100
    for name, head in fresh_database.query("SELECT name, head FROM streams"):
        assert fresh_database.query(f"SELECT count(*), coalesce(max(id), 0) FROM {name}") == [(head, head)]
