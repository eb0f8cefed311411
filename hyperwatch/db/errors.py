"""How an exception says that the database does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, OperationalError
from psycopg2.errors import QueryCanceled

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


def is_unavailable(error: BaseException | None) -> bool:
    """Whether it says so.

    Of a connection that ended with a crash of the server psycopg2 knows no kind, and there is no SQLSTATE.
    """
    has_no_state = type(error) is DatabaseError and getattr(error.__cause__, "pgcode", None) is None
    return isinstance(error, DATABASE_UNAVAILABLE) or has_no_state


def is_cancelled(error: BaseException) -> bool:
    """Whether a statement took longer than it was given, or somebody ended it."""
    return isinstance(error.__cause__, QueryCanceled)


@contextmanager
def normalize_db_errors() -> Iterator[None]:
    """Whatever says within that the database is away is one of DATABASE_UNAVAILABLE."""
    try:
        yield
    except DatabaseError as error:
        # A crash of the server is told by the bare class, which says neither that it is away nor anything else.
        if is_unavailable(error) and not isinstance(error, OperationalError):
            raise OperationalError(str(error).strip()) from error
        raise
