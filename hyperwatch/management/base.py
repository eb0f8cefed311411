"""Base of the commands of manage.py: bounded integer arguments, and hints for database errors."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError

# SQLSTATE
UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """The `type` of an argument: a whole number within bounds."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not minimum <= int(text) <= maximum:
            raise ArgumentTypeError(f"takes a whole number from {minimum} to {maximum}, not {text[:60]!r}")
        return int(text)

    return parse


class DatabaseCommand(BaseCommand):
    """A command that exits with a one-line hint if the database is unavailable or lacks the schema."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (DatabaseError, InterfaceError) as error:
            if hint := database_hint(error):
                raise CommandError(hint) from error
            raise


def database_hint(error: Exception) -> str:
    """A hint for the user; empty if the error is neither a lost connection nor a missing table or column."""
    if isinstance(error, OperationalError | InterfaceError):
        reason = " ".join(str(error).split())
        return (
            "The database cannot be reached: set DATABASE_URL, or start `make run`, "
            f"which includes a database ({reason})"
        )
    if getattr(error.__cause__, "pgcode", None) in (UNDEFINED_TABLE, UNDEFINED_COLUMN):
        reason = str(error).partition("\n")[0]
        return f"The database lacks tables or columns of this version: run `manage.py init_db` ({reason})"
    return ""
