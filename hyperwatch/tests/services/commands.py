"""Starts `manage.py serve` and `consume` for tests; a test fails on a traceback in their logs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess

Start = Callable[..., AppProcess]


@contextmanager
def running(command: str, folder: Path, **defaults: str) -> Iterator[Start]:
    """Yields a function that starts the command with an environment; stops all its processes at the end.

    With `answering=False` it does not wait until the process is ready: for one that exits early.
    """
    processes: list[AppProcess] = []

    def start(*, answering: bool = True, **env: str) -> AppProcess:
        process = AppProcess(command, folder / f"{command}-{len(processes)}", {**defaults, **env})
        processes.append(process)
        process.start() if answering else process.launch()
        return process

    try:
        yield start
    finally:
        for process in processes:
            process.stop()
    for process in processes:
        if traceback := process.unexpected_traceback():
            pytest.fail(f"{command} logged a traceback:\n{traceback}", pytrace=False)
