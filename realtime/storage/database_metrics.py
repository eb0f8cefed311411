"""Gauges of the web process that need PostgreSQL: age of each stream, outstanding dead letters."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from django.db import DatabaseError, InterfaceError, connection

from hyperwatch.db.statement_timeout import set_statement_timeout
from hyperwatch.metrics import DATABASE_REGISTRY, DatabaseCollector, DatabaseReading
from realtime.models import DeadLetter
from realtime.storage.sequences import latest_times

# Limits the query rate, independent of the number and interval of scrapers.
READ_INTERVAL_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 1.5
# A state older than this is not reported, because the database has not answered since.
MAX_STATE_AGE_SECONDS = 15.0
MAX_COUNTED_DEAD_LETTERS = 100_000


class DatabaseReader:
    """Reads in one background thread, so that a hanging database delays a scrape by READ_TIMEOUT_SECONDS at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "database-metrics", partial(set_statement_timeout, READ_TIMEOUT_SECONDS))
        self._lock = threading.Lock()
        self._reading: Future[None] | None = None
        self._state: DatabaseReading | None = None
        self._read_at = -math.inf

    def state(self) -> DatabaseReading | None:
        """The state, at most READ_INTERVAL_SECONDS old; None while the database does not answer."""
        if reading := self._started_reading():
            wait([reading], READ_TIMEOUT_SECONDS)
        return self._state if self._age() < MAX_STATE_AGE_SECONDS else None

    def _started_reading(self) -> Future[None] | None:
        """The running query, shared by concurrent scrapes; None while the state is recent."""
        with self._lock:
            if self._age() < READ_INTERVAL_SECONDS:
                return None
            if self._reading is None or self._reading.done():
                self._reading = self._thread.submit(self._read)
            return self._reading

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _read(self) -> None:
        try:
            self._state = read_state()
        except (DatabaseError, InterfaceError):
            self._state = None
        finally:
            self._read_at = self._clock()
            # An idle connection would count against `max_connections` between two scrapes.
            connection.close()


def read_state() -> DatabaseReading:
    times = {name: newest.timestamp() for name, newest in latest_times().items() if newest}
    outstanding = DeadLetter.objects.filter(resent_at=None).order_by()[:MAX_COUNTED_DEAD_LETTERS].count()
    return DatabaseReading(times, outstanding)


reader = DatabaseReader()
DATABASE_REGISTRY.register(DatabaseCollector(lambda: reader.state()))
