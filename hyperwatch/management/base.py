"""What commands of manage.py have in common: numbers within bounds, memory, and what to do without the database."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError

NO_TABLE = "42P01"
NO_COLUMN = "42703"


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The `type` of an argument."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"takes a whole number from {least} to {most}, not {text[:60]!r}")
        return int(text)

    return read


class DatabaseCommand(BaseCommand):
    """A command that ends with one line where the database is away or has not been set up."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (DatabaseError, InterfaceError) as error:
            if advice := database_hint(error):
                raise CommandError(advice) from error
            raise


def database_hint(error: Exception) -> str:
    """Advice for the person at the terminal; nothing where the error is none of theirs."""
    if isinstance(error, OperationalError | InterfaceError):
        reason = " ".join(str(error).split())
        return (
            f"The database cannot be reached: set DATABASE_URL, or start `make run`, which brings one along ({reason})"
        )
    if getattr(error.__cause__, "pgcode", None) in (NO_TABLE, NO_COLUMN):
        reason = str(error).partition("\n")[0]
        return f"The database lacks tables or columns of this version: run `manage.py init_db` ({reason})"
    return ""
