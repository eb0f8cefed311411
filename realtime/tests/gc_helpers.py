"""manage.py that reports at SIGUSR1 how many objects only the garbage collector could free."""

import gc
import os
import signal
import sys

from django.core.management import execute_from_command_line


def report(*_signal: object) -> None:
    sys.stdout.write(f"collected {gc.collect()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyperwatch.settings")
    signal.signal(signal.SIGUSR1, report)
    execute_from_command_line(sys.argv)
