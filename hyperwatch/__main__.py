"""Command line: `hyperwatch` where the package is installed, `python -m hyperwatch`, or `manage.py` in a checkout."""

import os
import sys
from pathlib import Path

from hyperwatch.terminal import replace_unencodable


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyperwatch.settings")
    if Path(sys.argv[0]).name == "__main__.py":
        # Django prints the name of the file as the name of the program.
        sys.argv[0] = "python -m hyperwatch"
    try:
        _execute()
    except KeyboardInterrupt:
        sys.exit(130)


def _execute() -> None:
    try:
        from django.core.management import execute_from_command_line
        from django.db import DatabaseError, InterfaceError
    except ImportError as error:
        raise SystemExit(f"{error}. Run `make setup`, then .venv/bin/python manage.py") from error
    replace_unencodable()
    try:
        execute_from_command_line(sys.argv)
    except (DatabaseError, InterfaceError, OSError) as error:
        # Django's own commands (migrate, createsuperuser, shell) do not handle them.
        from hyperwatch.management.base import data_folder_hint, database_hint

        hint = data_folder_hint(error) if isinstance(error, OSError) else database_hint(error)
        if not hint or "--traceback" in sys.argv:
            raise
        raise SystemExit(f"CommandError: {hint}") from error


if __name__ == "__main__":
    main()
