"""The newly stored rows of a stream, as the writer hands them to the publisher."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import msgspec
import psycopg2
from django.db import DatabaseError, OperationalError, connection
from psycopg2.extras import execute_values

from hyperwatch import metrics
from hyperwatch.db.errors import normalize_db_errors
from realtime.ingest import writer_sql as sql
from realtime.ingest.failpoints import failpoint
from realtime.storage.copy_format import columns_of, copy_in, copy_lines
from realtime.ingest.decoder import (DecodedBatch, PendingRow, RejectedMessage, Rows, derive)
from realtime.storage.sequences import ensure_streams
from realtime.kafka.consumer import KafkaMessage
from realtime.streams import Fact, Row, Stream, all_streams, get_stream




class StoredRows(NamedTuple):
    """What is new in a stream; the rows have their `seq`, ascending, and `facts` are theirs.

    `sent_ms` is the Kafka timestamp of the oldest message in their batch, 0 where it has none.
    """

    stream: Stream
    rows: list[Row]
    facts: list[Fact]
    sent_ms: int = 0
