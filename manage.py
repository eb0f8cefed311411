#!/usr/bin/env python
"""The command line of the project; `manage.py help` lists what there is."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyperwatch.settings")
    try:
        from django.core.management import execute_from_command_line
        from django.db import OperationalError
    except ImportError as missing:
        raise SystemExit(f"{missing}. Run `make setup` first, then .venv/bin/python manage.py") from missing
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        # Django's own commands (migrate, createsuperuser, shell) leave it as it is.
        if "--traceback" in sys.argv:
            raise
        from hyperwatch.commanding import what_to_do

        raise SystemExit(f"CommandError: {what_to_do(error)}") from error


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
