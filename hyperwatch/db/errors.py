"""Classifies database exceptions by SQLSTATE: unavailable, read-only, or statement cancelled."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from psycopg2.errors import QueryCanceled

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)

READ_ONLY = "25006"
# Prefixes of the SQLSTATEs of a database that is unavailable: a later attempt can succeed. The consumer waits, the web
# process answers 503, commands say so.
UNAVAILABLE_SQLSTATES = (
    "08",  # connection lost
    READ_ONLY,  # a standby, or a server after a failover
    "25P03",  # transaction idle for longer than idle_in_transaction_session_timeout
    "40001",  # serialization failure
    "40P01",  # deadlock
    "53",  # disk full, out of memory, too many connections
    "55P03",  # lock_timeout
    "57014",  # statement_timeout, or cancelled
    "57P0",  # shutdown, crash, starting up, database dropped, idle session
    "58030",  # I/O error
)


def sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE of a Django or psycopg2 exception; empty if the server sent none, as for a lost connection."""
    while error is not None and not isinstance(error, psycopg2.Error):
        error = error.__cause__
    return (error.pgcode or "") if error is not None else ""


def is_unavailable(error: BaseException | None) -> bool:
    """Whether the database is unavailable.

    psycopg2 raises a bare DatabaseError without SQLSTATE for a connection that a server crash ended.
    """
    if not isinstance(error, (DatabaseError, InterfaceError)):
        return False
    if state := sqlstate(error):
        return state.startswith(UNAVAILABLE_SQLSTATES)
    return isinstance(error, DATABASE_UNAVAILABLE) or type(error) is DatabaseError


def is_read_only(error: BaseException | None) -> bool:
    """Whether the server refuses writes: a standby, or a server after a failover."""
    return sqlstate(error) == READ_ONLY


def is_cancelled(error: BaseException) -> bool:
    """Whether a statement exceeded its timeout or was cancelled (SQLSTATE 57014)."""
    return isinstance(error.__cause__, QueryCanceled)


def close_if_read_only(error: BaseException | None) -> None:
    """Closes this thread's connection to a read-only server, so that the next one looks for the primary again.

    Django replaces only connections that are broken, and one to a demoted server can still read.
    """
    if is_read_only(error):
        connection.close()


@contextmanager
def normalize_db_errors() -> Iterator[None]:
    """Converts every error of an unavailable database into one of DATABASE_UNAVAILABLE."""
    try:
        yield
    except DatabaseError as error:
        if is_unavailable(error) and not isinstance(error, OperationalError):
            raise OperationalError(str(error).strip()) from error
        raise
