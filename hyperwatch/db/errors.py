"""Classifies database exceptions: unavailable, or statement cancelled."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, OperationalError
from psycopg2.errors import QueryCanceled

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


def is_unavailable(error: BaseException | None) -> bool:
    """Whether the database is unavailable.

    psycopg2 raises a bare DatabaseError without SQLSTATE for a connection that a server crash ended.
    """
    has_no_sqlstate = type(error) is DatabaseError and getattr(error.__cause__, "pgcode", None) is None
    return isinstance(error, DATABASE_UNAVAILABLE) or has_no_sqlstate


def is_cancelled(error: BaseException) -> bool:
    """Whether a statement exceeded its timeout or was cancelled (SQLSTATE 57014)."""
    return isinstance(error.__cause__, QueryCanceled)


@contextmanager
def normalize_db_errors() -> Iterator[None]:
    """Converts every error of an unavailable database into one of DATABASE_UNAVAILABLE."""
    try:
        yield
    except DatabaseError as error:
        # psycopg2 reports a server crash as a bare DatabaseError.
        if is_unavailable(error) and not isinstance(error, OperationalError):
            raise OperationalError(str(error).strip()) from error
        raise
