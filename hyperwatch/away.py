"""How an exception says that the database does not answer."""

from django.db import DatabaseError, InterfaceError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError)


def is_away(error: BaseException | None) -> bool:
    """Whether it says so.

    Of a connection that ended with a crash of the server psycopg2 knows no kind, and there is no SQLSTATE.
    """
    has_no_state = type(error) is DatabaseError and getattr(error.__cause__, "pgcode", None) is None
    return isinstance(error, DATABASE_AWAY) or has_no_state
