"""Next offsets of Kafka's partitions, in the table `consumer_offsets`."""

from collections.abc import Mapping
from typing import Any

from django.db import connection
from psycopg2.extras import execute_values

from realtime.models import ConsumerOffset

# A topic and a partition number.
Partition = tuple[str, int]

_INSERT = "INSERT INTO consumer_offsets (topic, partition, next_offset) VALUES %s ON CONFLICT (topic, partition)"
# Two members may store messages of one partition during a rebalance: an offset never decreases.
ADVANCE = f"""{_INSERT} DO UPDATE SET next_offset = excluded.next_offset
WHERE consumer_offsets.next_offset < excluded.next_offset"""
_REPLACE = f"{_INSERT} DO UPDATE SET next_offset = excluded.next_offset"


def read() -> dict[Partition, int]:
    rows = ConsumerOffset.objects.values_list("topic", "partition", "next_offset")
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def advance(offsets: Mapping[Partition, int]) -> None:
    _execute(ADVANCE, offsets)


def replace(offsets: Mapping[Partition, int]) -> None:
    """Also decreases offsets: the topic was deleted and created again."""
    _execute(_REPLACE, offsets)


def clear() -> None:
    ConsumerOffset.objects.all().delete()


def values(offsets: Mapping[Partition, int]) -> list[tuple[str, int, int]]:
    """The rows in lock order: another order could deadlock."""
    return [(topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]


def _execute(statement: str, offsets: Mapping[Partition, int]) -> None:
    with connection.cursor() as cursor:
        raw: Any = cursor.cursor
        execute_values(raw, statement, values(offsets))
