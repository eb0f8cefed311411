"""Kafka, as the rest of the project sees it. The only module that imports `confluent_kafka`.

Brokers, topics and the group come from the settings at the moment a client is made: the embedded broker's
port is known only once it runs.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from django.conf import settings

from hyperwatch.metrics import KAFKA_CONSUMER_LAG_MESSAGES
from realtime.kafka.offset_tracker import (OffsetGap, OffsetTracker, Partition, Read)




def _report_lag(before: Iterable[Partition], lag: Mapping[Partition, int]) -> None:
    """A series that stays after its partition moved to another member would show that one's lag twice."""
    for partition in set(before) - set(lag):
        KAFKA_CONSUMER_LAG_MESSAGES.remove(*partition)
    for partition, messages in lag.items():
        KAFKA_CONSUMER_LAG_MESSAGES.labels(*partition).set(messages)
