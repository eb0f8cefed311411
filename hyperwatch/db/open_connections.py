"""Counts this process's open PostgreSQL connections for the metrics, without a query."""

import threading
from typing import Any
from weakref import WeakSet

from django.db.backends.signals import connection_created
from django.dispatch import receiver

from hyperwatch.metrics import DATABASE_CONNECTIONS

# Django has no signal for a closed connection, but psycopg2's connections have a flag.
_connections: WeakSet[Any] = WeakSet()
# A set must not grow while another thread iterates over it.
_lock = threading.Lock()


@receiver(connection_created)
def _add(connection: Any, **_signal: Any) -> None:
    with _lock:
        _connections.add(connection.connection)


def open_connections() -> int:
    with _lock:
        return sum(not connection.closed for connection in _connections)


DATABASE_CONNECTIONS.set_function(open_connections)
