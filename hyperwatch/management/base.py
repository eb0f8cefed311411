"""Base of the commands of manage.py: bounded integer arguments, and hints for database errors."""

import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError

from hyperwatch.db.errors import is_read_only, is_unavailable, sqlstate

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
    """A hint for the user; empty if the database is available and has all tables and columns."""
    if is_read_only(error):
        return (
            "The database is read-only, a standby or a server after a failover: set DATABASE_URL to the primary, or to "
            f"several hosts with target_session_attrs=read-write ({_one_line(error)})"
        )
    if is_unavailable(error):
        return (
            "The database cannot be reached: set DATABASE_URL, or start `make run`, "
            f"which includes a database ({_one_line(error)})"
        )
    if sqlstate(error) in (UNDEFINED_TABLE, UNDEFINED_COLUMN):
        reason = str(error).partition("\n")[0]
        return f"The database lacks tables or columns of this version: run `manage.py init_db` ({reason})"
    return ""


def data_folder_hint(error: OSError) -> str:
    """A hint for the user; empty if the error is not about DATA_DIR or a path within it."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    folder = settings.DATA_DIR
    if path is None or not (path.is_relative_to(folder) or folder.is_relative_to(path)):
        return ""
    return f"DATA_DIR must be a writable folder, not {str(folder)!r}: {path}: {error.strerror}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
